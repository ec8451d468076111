"""`python -m lrjax.leaderboard.studies` in this process."""

import csv
import json

import pytest
from PIL import Image

from lrjax.data.published import DATASETS
from lrjax.leaderboard.studies import TITLES
from lrjax.leaderboard.studies.__main__ import main
from lrjax.results.store import ResultStore
from studies.boards import rows


def test_without_a_name_the_studies_are_listed(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(TITLES)
    assert all(title in line for title, line in zip(TITLES.values(), lines, strict=True))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inputsize"], "error: unknown study 'inputsize'; did you mean 'input-size'"),
        (["curves", "--seed", "1"], "error: --resolution, --seed"),
        (["weights", "--seed", "-1"], "error: --seed is -1"),
        (["weights", "--bounds", "1", "0.1"], "error: bounds=(1, 0.1)"),
        (["weights", "--resolution", "17"], "error: there is no resolution 17"),
        (["weights", "--resolution", "\u00b2"], "error: there is no resolution"),
        (["weights", "--coefficients", "missing.json"], "error: missing.json is not a JSON file"),
        (["curves", "--results", "nowhere"], "error: there are no results in nowhere"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(message) and error.count("\n") == 1


def test_an_unknown_option_exits_in_one_line(capsys):
    assert main(["curves", "--nonsense"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: unrecognized arguments: --nonsense; see") and error.count("\n") == 1
    assert main(["all", "curves"]) == 2
    assert "leave the other names out" in capsys.readouterr().err


def test_files_and_findings(tmp_path, capsys):
    assert main(["finetuned", "correlations", "--out", str(tmp_path)]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "UNDECIDED: Fine-tuned models are less robust" in text
    assert "SUPPORTS: WAR agrees better with EuroSAT" in text
    assert "0.23 [0.14, 0.35], n = 66" in text
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix != ".json")
    assert names == [
        "correlations-1.csv", "correlations-1.md", "correlations-2.csv", "correlations-2.md",
        "correlations-datasets.png", "finetuned-pairs.png", "finetuned.csv", "finetuned.md",
    ]  # fmt: skip
    lines = list(csv.reader((tmp_path / "finetuned.csv").read_text().splitlines()))
    assert len(lines) == 8 and lines[0][0] == "Pair"
    Image.open(tmp_path / "finetuned-pairs.png").verify()
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["finetuned", "--out", str(tmp_path)]) == 0
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_own_runs(tmp_path, capsys):
    ResultStore(tmp_path / "runs").add(rows(["cars", "pets"], model="Mine"))
    command = ["buckets", "--results", str(tmp_path / "runs")]
    assert main(command) == 2
    assert "--subset" in capsys.readouterr().err
    assert main([*command, "--subset", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "buckets-spread.png").exists()


def test_runs_on_other_data_sets_are_refused(tmp_path, capsys):
    ResultStore(tmp_path).add(rows(["mine"], model="Mine"))
    assert main(["curves", "--results", str(tmp_path)]) == 2
    assert "share no data set" in capsys.readouterr().err


def test_weights_are_saved_as_the_report_reads_them(tmp_path, capsys):
    (tmp_path / "c.json").write_text('{"cars": 1, "pets": 0.5}')
    saved = tmp_path / "weights.json"
    options = ["--coefficients", str(tmp_path / "c.json"), "--bounds", "0.1", "1", "--resolution", "32"]
    assert main(["weights", "--save", str(saved), "--seed", "3", *options]) == 0
    weights = json.loads(saved.read_text())
    assert list(weights) == list(DATASETS)
    assert max(weights.values()) == 1 and min(weights.values()) >= 0.1
    assert "WAR-32" in capsys.readouterr().out
    saved.write_text("mine")
    assert main(["weights", "--save", str(saved), *options]) == 2
    assert "weights.json exists and holds no weights; name another file" in capsys.readouterr().err
    assert saved.read_text() == "mine"
