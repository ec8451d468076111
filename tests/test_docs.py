"""The README and the docs: their links lead somewhere, and their commands can be read."""

import importlib.util
import re
import shlex
import string
import textwrap
from pathlib import Path

import pytest

from lrjax.config import Config
from lrjax.data.datasets import get_dataset
from lrjax.leaderboard.studies import find_study
from lrjax.runs.config_reader import from_mapping, read_questions
from lrjax.runs.recipes import read_config
from lrjax.weights.naming import run_models

ROOT = Path(__file__).parents[1]
LINKED = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "experiments/*/README.md", "checkpoints_conv/*/README.md")
    for path in ROOT.glob(pattern)
)
NOT_YET = "not yet"


def name(path):
    return str(path.relative_to(ROOT))


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^(```.*?^```|    .*?)$", "", text, flags=re.MULTILINE | re.DOTALL))


def links(text):
    return re.findall(r"\]\(([^)\s]+)\)", without_code(text))


def anchors(path):
    """The fragments of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S), re.M)
    kept = string.ascii_lowercase + string.digits + "-_ "
    return {"".join(one for one in heading.lower() if one in kept).replace(" ", "-") for heading in headings}


def broken(path, text):
    for link in links(text):
        place, _, anchor = link.partition("#")
        target = (path.parent / place) if place else path
        if re.match(r"https?://", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("path", LINKED, ids=name)
def test_links_lead_somewhere(path):
    assert list(broken(path, path.read_text(encoding="utf-8"))) == []


def test_broken_links_are_found():
    text = "[a](README.md) [b](nowhere.md) [c](README.md#no-such) [d](#licence) [e](http://x/y) `[f](code.md)`\n"
    text += "\n    [g](block.md)\n\n```\n[h](fence.md)\n```\n![i](none.png)"
    assert list(broken(ROOT / "README.md", text)) == ["nowhere.md", "README.md#no-such", "none.png"]


def test_the_readme_is_short_and_names_every_page():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(readme.splitlines()) <= 150
    assert {link.partition("#")[0] for link in links(readme)} >= {
        *(name(path) for path in (ROOT / "docs").glob("*.md")),
        "CONTRIBUTING.md",
    }


def commands(text):
    """The commands `python -m MODULE ...` in blocks of code, as words."""
    blocks = "\n".join(re.findall(r"^(?:```.*?^```| {4}.*?)$", text, re.MULTILINE | re.DOTALL))
    for line in blocks.replace("\\\n", " ").splitlines():
        if found := re.search(r"(?:^|\s)python -m (\S+)(.*)", line):
            words = shlex.split(found[2], comments=True)
            yield found[1], words[: words.index("&")] if "&" in words else words


def check_command(module, words):
    """Reads a command as far as it can be without weights and images; returns its configuration, if it has one."""
    assert importlib.util.find_spec(module), module
    if module == "lrjax.leaderboard.studies" and words:
        find_study(words[0])
    if module == "lrjax.main":
        assert words[0] == "--config"
        config = read_config(str(ROOT / words[1]), words[2:], program="python -m lrjax.main")
        read_questions(config)
        return config
    return None


@pytest.mark.parametrize("path", [path for path in LINKED if path.parent in (ROOT, ROOT / "docs")], ids=name)
def test_commands_can_be_read(path):
    for module, words in commands(path.read_text(encoding="utf-8")):
        check_command(module, words)


def test_commands_are_found_in_blocks():
    text = '`python -m a`\n\n    X=1 python -m b --c="(0,)" d \\\n        --e  # f\n\n```\npython -m g &\n```\n'
    assert list(commands(text)) == [("b", ["--c=(0,)", "d", "--e"]), ("g", [])]


def papers():
    lines = (ROOT / "docs" / "papers.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in lines if line.startswith("| ")]
    return [row for row in rows if row[:2] != ["what", "command"]]


@pytest.mark.parametrize("row", papers(), ids=lambda row: row[0])
def test_a_row_of_the_papers_has_a_command_or_says_that_it_has_none(row):
    command = row[1]
    if command == NOT_YET:
        assert not any(row[2:])
        return
    assert len(row) >= 3 and row[2], "says what it needs"
    found = re.fullmatch(r"`python -m (\S+) ?([^`]*)`", command)
    assert found, command
    config = check_command(found[1], shlex.split(found[2]))
    if config is not None and not config.ablation.rows:
        for dataset in config.data.names:
            if "/" not in dataset:
                assert get_dataset(dataset).name == dataset
        assert run_models(config)


def test_every_recipe_of_a_paper_is_listed():
    listed = " ".join(row[1] for row in papers())
    for path in (ROOT / "configs").glob("*.py"):
        if re.search(r"^def get_config", path.read_text(), re.MULTILINE):
            assert f"configs/{path.name}" in listed


def test_the_questions_of_the_architecture_page_are_questions():
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    found = {}
    for block in re.findall(r"^  ```python\n(.*?)^  ```", text, re.MULTILINE | re.DOTALL):
        found |= defined(textwrap.dedent(block))
    assert found["Sure"]().least == 0.5 and found["Alike"]().resolution == 16
    recipe = found["get_config"]().to_dict()
    assert recipe["questions"].pop("sure") == {"type": "FILE.py:Sure"}
    assert from_mapping(Config, recipe).report.weights == "equal"


def defined(source):
    """What a block of Python defines."""
    names = {"__name__": __name__}
    exec(compile(source, "docs/architecture.md", "exec"), names)
    return names
