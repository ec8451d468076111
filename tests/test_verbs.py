"""`lrjax VERB ...`: one table of commands, each of which keeps its own line `python -m MODULE`."""

import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lrjax import __version__
from lrjax.__main__ import VERBS, main
from lrjax.command_line import as_called
from lrjax.leaderboard.studies import TITLES

ROOT = Path(__file__).parents[1]
QUESTIONS = ("zoom", "zoom.hard")
CALLS = [
    *((verb, module) for verb, (module, _) in VERBS.items() if verb != "question"),
    *((f"question {name}", f"lrjax.questions.{name}") for name in QUESTIONS),
]


def shown(run, *arguments, capsys):
    """What a command prints before it leaves with status 0."""
    with pytest.raises(SystemExit) as leaving:
        run(list(arguments))
    assert not leaving.value.code
    out, err = capsys.readouterr()
    assert err == ""
    return out


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_help_names_every_verb(arguments, capsys):
    out = shown(main, *arguments, capsys=capsys)
    assert out.startswith("usage: lrjax VERB ...\n")
    for verb, (_, told) in VERBS.items():
        assert [line.split(maxsplit=1) for line in out.splitlines()].count([verb, told]) == 1


def test_version(capsys):
    assert shown(main, "--version", capsys=capsys) == f"lrjax {__version__}\n"


def test_the_commands_of_questions_are_found(capsys):
    for arguments in (("question",), ("question", "--help")):
        out = shown(main, *arguments, capsys=capsys)
        assert out.startswith("usage: lrjax question NAME ...\n") and out.endswith("names: zoom, zoom.hard\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("reprot",), "there is no lrjax reprot; did you mean report?"),
        (("xyzzy", "--help"), f"there is no lrjax xyzzy; use one of {', '.join(VERBS)}"),
        (("",), f"there is no lrjax ; use one of {', '.join(VERBS)}"),
        (("question", "zom"), "there is no lrjax question zom; did you mean zoom?"),
        (("question", "zeroshot"), "there is no lrjax question zeroshot; use one of zoom, zoom.hard"),
        (("question", "../report"), "there is no lrjax question ../report; use one of zoom, zoom.hard"),
        (("--confg",), "unrecognized arguments: --confg; see lrjax --help"),
        (("run",), "no recipe; run `lrjax run --config configs/lr_tk0_eva.py`"),
        (("data", "list", "x"), "unexpected argument 'x'; see lrjax data --help"),
        (("report", "--tp"), "unrecognized arguments: --tp; see lrjax report --help"),
        (("convert",), "the following arguments are required: --source, --out; see lrjax convert --help"),
    ],
)
def test_mistakes(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", f"error: {message}\n")
    assert as_called("python -m lrjax.main") == "python -m lrjax.main"


@pytest.mark.parametrize(("words", "module"), CALLS)
def test_a_command_is_called_as_the_user_called_it(words, module, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):
        found = importlib.import_module(f"{module}.__main__")
    old = shown(found.main, "--help", capsys=capsys)
    new = shown(main, *words.split(), "--help", capsys=capsys)
    assert old.startswith(f"usage: python -m {module} ") and new.startswith(f"usage: lrjax {words} ")
    assert new == old.replace(f"python -m {module}", f"lrjax {words}")


def test_arguments_and_status_are_handed_on(capsys, tmp_path):
    assert main(["study"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TITLES)
    assert main(["models", "ViT-B-16", "--family", "nobody"]) == 2
    assert "no backbone of the family 'nobody'" in capsys.readouterr().err
    recipe = tmp_path / "mine.py"
    recipe.write_text("def get_config():\n    return {'model': 'x', 'data': {'names': ['dtd']}}")
    assert main(["data", "check", str(recipe), "--config.data.root", str(tmp_path)]) == 1
    assert "data sets: 1, problems: 1" in capsys.readouterr().out


def test_help_and_version_import_no_library():
    code = (
        "import sys\n"
        "from lrjax.__main__ import main\n"
        "for word in ('--help', '--version', 'question'):\n"
        "    try:\n"
        "        main([word])\n"
        "    except SystemExit:\n"
        "        pass\n"
        "print(sorted({'jax', 'numpy', 'scipy', 'rich', 'PIL', 'checkpoints_conv'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_module_is_the_command_too():
    done = subprocess.run([sys.executable, "-m", "lrjax", "reprot"], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "error: there is no python -m lrjax reprot; did you mean report?\n")


def test_the_console_script_finds_modules_of_the_working_directory(tmp_path):
    place = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["lrjax"]
    module, _, function = place.partition(":")
    (tmp_path / "mine.py").write_text("def get_config():\n    import beside\n    return beside.VALUES")
    (tmp_path / "beside.py").write_text("VALUES = {'model': 'nobody', 'data': {'names': ['shapes']}}")
    code = (
        f"import sys\nsys.path[:] = [{str(ROOT)!r}, *(one for one in sys.path if one)]\n"
        f"sys.argv = ['lrjax', 'run', '--config', 'mine.py']\nfrom {module} import {function}\nsys.exit({function}())"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("error: unknown backbone 'nobody'"), done.stderr
