"""`python -m lrjax.report`: one table, a whole report, and mistakes told in one line."""

import csv
import io
import json
import subprocess
import sys

import pytest

from lrjax.data.published import DATASETS, RESOLUTIONS
from lrjax.leaderboard import published_leaderboard
from lrjax.report.command import main
from lrjax.results import ResultStore, Row

BOARD = published_leaderboard()


def runs(published="EVA-02-CLIP-B/16", *, model="mine", datasets=DATASETS):
    accuracies = BOARD.top1[BOARD.find(published)]
    return [
        Row(
            model=model,
            variant="vanilla",
            dataset=dataset,
            resolution=resolution,
            metric="acc1",
            value=accuracies[DATASETS.index(dataset), number] if dataset in DATASETS else 0.5,
            n=100,
            key=f"{len(model)}-{dataset}",
            config_hash="c",
            evaluator="zeroshot",
            evaluator_version=1,
            seed=None,
            versions={},
            extra={"classes": 2},
        )
        for dataset in datasets
        for number, resolution in enumerate(RESOLUTIONS)
    ]


@pytest.fixture
def store(tmp_path):
    """A function that stores rows in a new results directory."""

    def make(rows, name="run"):
        ResultStore(tmp_path / name).add(rows)
        return str(tmp_path / name)

    return make


def printed(capsys, *arguments):
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def test_the_ten_best(capsys):
    lines = printed(capsys, "--top", "10", "--metric", "war16", "--format", "csv").splitlines()
    rows = list(csv.DictReader(io.StringIO("\n".join(lines))))
    assert len(rows) == 10
    assert [row["Rank"] for row in rows] == [str(number) for number in range(1, 11)]
    assert rows[0]["Model"] == "EVA-02-CLIP-E/14+" and rows[0]["WAR-16"] == "40.2639"
    assert rows[0]["SAR-16"] == "53.6449"


@pytest.mark.parametrize("metric", ["acc16", "sar32", "war64", "ACC-128", "warhr"])
def test_every_metric_ranks_by_itself(capsys, metric):
    text = printed(capsys, "--metric", metric, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    column = metric.upper().replace("-", "")
    values = [float(row[f"{column[:3]}-{column[3:]}"]) for row in rows]
    assert len(rows) == 66 and values == sorted(values, reverse=True)


def test_families_and_models(capsys):
    text = printed(capsys, "--family", "coca", "--format", "markdown")
    lines = [[cell.strip() for cell in line.split("|")[1:3]] for line in text.splitlines()[2:]]
    assert [name for _, name in lines] == [
        "CoCa-ViT-L/14 (laion2b_s13b_b90k)",
        "CoCa-ViT-B/32",
        "CoCa-ViT-L/14 (laion2b_s13b_b90k + mscoco)",
    ]
    # ranks are those among all
    assert [int(rank) for rank, _ in lines] == [int(BOARD.ranks("war", 16)[BOARD.find(name)]) for _, name in lines]
    text = printed(capsys, "--model", "ViT-B/16", "RN50", "--format", "latex")
    assert text.count(r"\begin{tabular}") == 2 and r"imagenet\_a &" in text
    text = printed(capsys, "--model", "EVA-01-CLIP-g/14")
    assert "eurosat†" in text and "doubtful" in text


def test_data_sets_and_weights(capsys, tmp_path):
    text = printed(capsys, "--datasets", "dtd", "pets", "--top", "3")
    assert "over 2 of the 15 data sets: dtd, pets" in " ".join(text.split())
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"cars": 1.0}))
    text = printed(capsys, "--datasets", "cars", "--weights", str(weights), "--format", "csv")
    best = BOARD.improved(16)[:, DATASETS.index("cars")].max()
    assert float(next(csv.DictReader(io.StringIO(text)))["WAR-16"]) == pytest.approx(100 * best, abs=5e-5)
    assert "equally" in printed(capsys, "--weights", "equal", "--top", "1")


def test_own_runs_among_them(capsys, store):
    text = printed(capsys, store(runs()), "--format", "csv")
    rows = {row["Model"]: row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 67
    assert rows["mine [vanilla]"]["WAR-16"] == rows["EVA-02-CLIP-B/16"]["WAR-16"] == "30.7433"
    assert rows["mine [vanilla]"]["Rank"] == rows["EVA-02-CLIP-B/16"]["Rank"]


def test_several_directories(capsys, store, tmp_path):
    directories = [store(runs(), "a"), store(runs("RN50", model="other"), "b")]
    text = printed(capsys, *directories, "--format", "csv")
    assert "mine [vanilla]" in text and "other [vanilla]" in text
    assert main(directories) == 2
    assert "say with --out" in capsys.readouterr().err
    text = printed(capsys, *directories, "--out", str(tmp_path / "out"), "--no-studies", "--no-plots")
    assert "Your runs on the leaderboard" in text and (tmp_path / "out" / "index.html").exists()


def test_missing_data_sets_need_the_flag(capsys, store):
    run = store(runs(datasets=["dtd", "pets"]))
    assert main([run, "--top", "5"]) == 2
    assert "--subset" in capsys.readouterr().err
    text = " ".join(printed(capsys, run, "--top", "70", "--subset").split())
    assert "over 2 of the 15 data sets: dtd, pets" in text and "mine [vanilla]" in text


def test_report_of_a_run_on_other_data_sets(capsys, store, tmp_path):
    run = store(runs(datasets=["shapes", "letters"]))
    text = printed(capsys, run, "--no-plots", "--no-studies")
    assert "Robustness by resolution" in text and "on the leaderboard" not in text
    assert (tmp_path / "run" / "report" / "index.html").exists()
    assert "equally" in (tmp_path / "run" / "report" / "report.md").read_text()


def test_html_in_names_is_text(store, tmp_path):
    run = store(runs(model="<img src=x onerror=alert(1)>"))
    assert main([run, "--no-plots", "--no-studies"]) == 0
    for path in (tmp_path / "run" / "report").rglob("*"):
        if path.suffix in (".html", ".md"):
            assert "<img src=x" not in path.read_text(), path


def test_mistakes_are_one_line_and_status_2(capsys, store, tmp_path):
    run = store(runs(datasets=["a", "b"]))
    (tmp_path / "bad.json").write_text("[1]")
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "results.jsonl").write_text('{"schema": 9}\n')
    for arguments, reason in [
        ([str(tmp_path / "none")], "no results in"),
        ([run, "--weights", "paper"], "no weight for a, b"),
        ([run, "--weights", str(tmp_path / "no.json")], "not a JSON file"),
        ([run, "--weights", str(tmp_path / "bad.json")], "not a JSON file"),
        ([run, "--datasets", "x"], "no result is on x"),
        ([str(tmp_path / "later")], "schema version 9"),
        (["--metric", "war17"], "did you mean war16"),
        (["--model", "ViT-B-16"], "did you mean 'ViT-B/16'"),
        (["--family", "clap"], "there is no family 'clap'"),
        (["--datasets", "eurosta"], "did you mean eurosat"),
        (["--top", "0"], "at least 1"),
    ]:
        assert main(arguments) == 2, arguments
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1 and reason in captured.err
    with pytest.raises(SystemExit) as stopped:
        main(["--colour"])
    assert stopped.value.code == 2 and capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run" / "report").exists()


def test_the_module_runs():
    command = [sys.executable, "-m", "lrjax.report", "--top", "1", "--metric", "sarhr", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Rank,Model,ACC-HR,SAR-HR,WAR-HR,Family,Parameters,Input\n1,")
