"""`python -m lrjax.report`: one table, a whole report, and mistakes told in one line."""

import csv
import dataclasses
import io
import json
import subprocess
import sys

import pytest

from lrjax.data.published import DATASETS, RESOLUTIONS
from lrjax.leaderboard.board import published_leaderboard
from lrjax.metrics.robustness import PAPER_CLASS_COUNTS
from lrjax.report.command import main
from lrjax.results.row import Row
from lrjax.results.store import ResultStore

BOARD = published_leaderboard()


def runs(published="EVA-02-CLIP-B/16", *, model="mine", datasets=DATASETS):
    accuracies = BOARD.top1[BOARD.find(published)]
    return [
        Row(
            model=model,
            variant="vanilla",
            dataset=dataset,
            condition={"resolution": resolution},
            metric="acc1",
            value=accuracies[DATASETS.index(dataset), number] if dataset in DATASETS else 0.5,
            n=100,
            key=f"{len(model)}-{dataset}",
            config_hash="c",
            question="zeroshot",
            kind="zeroshot",
            question_version=1,
            seed=None,
            versions={},
            extra={"classes": PAPER_CLASS_COUNTS.get(dataset, 2), "expected": 100},
        )
        for dataset in datasets
        for number, resolution in enumerate(RESOLUTIONS)
    ]


def classes_of(rows, dataset, count):
    return [dataclasses.replace(row, extra={"classes": count}) if row.dataset == dataset else row for row in rows]


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
    assert [row["rank"] for row in rows] == [str(number) for number in range(1, 11)]
    assert rows[0]["model"] == "EVA-02-CLIP-E/14+" and rows[0]["war16"] == "40.2639"
    assert rows[0]["sar16"] == "53.6449" and rows[0]["parameters"] == "5044889089" and rows[0]["native_hr"] == "true"


@pytest.mark.parametrize("metric", ["acc16", "sar32", "war64", "ACC-128", "warhr"])
def test_every_metric_ranks_by_itself(capsys, metric):
    text = printed(capsys, "--metric", metric, "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(text)))
    values = [float(row[metric.lower().replace("-", "")]) for row in rows]
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
    text = printed(capsys, "--model", "ViT-B/16", "--model", "RN50", "--format", "latex")
    assert text.count(r"\begin{tabular}") == 2 and r"imagenet\_a &" in text
    assert "Doubtful" not in text
    text = printed(capsys, "--model", "EVA-01-CLIP-g/14")
    assert "Doubtful" in text and "64 HR" in next(line for line in reversed(text.splitlines()) if "eurosat" in line)


def test_data_sets_and_weights(capsys, tmp_path):
    text = printed(capsys, "--datasets", "dtd", "--datasets", "pets", "--top", "3")
    assert "over 2 of the 15 data sets: dtd, pets" in " ".join(text.split())
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"cars": 1.0}))
    text = printed(capsys, "--datasets", "cars", "--weights", str(weights), "--format", "csv")
    best = BOARD.improved(16)[:, DATASETS.index("cars")].max()
    assert float(next(csv.DictReader(io.StringIO(text)))["war16"]) == pytest.approx(100 * best, abs=5e-5)
    assert "equally" in printed(capsys, "--weights", "equal", "--top", "1")


def test_own_runs_among_them(capsys, store):
    text = printed(capsys, store(runs()), "--format", "csv")
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(text))}
    assert len(rows) == 67
    assert rows["mine [vanilla]"]["war16"] == rows["EVA-02-CLIP-B/16"]["war16"] == "30.7433"
    assert rows["mine [vanilla]"]["rank"] == rows["EVA-02-CLIP-B/16"]["rank"]
    assert rows["mine [vanilla]"]["own"] == "true" and rows["RN50"]["own"] == "false"
    assert "mine [vanilla]" in printed(capsys, store(runs()), "--model", "mine [vanilla]").splitlines()[1]
    lines = printed(capsys, store(runs()), "--family", "own", "--format", "csv").splitlines()
    assert len(lines) == 2 and lines[1].startswith("18,mine [vanilla]")


def test_several_directories(capsys, store, tmp_path):
    directories = [store(runs(), "a"), store(runs("RN50", model="other"), "b")]
    text = printed(capsys, *directories, "--format", "csv")
    assert "mine [vanilla]" in text and "other [vanilla]" in text
    assert main(directories) == 2
    assert "say with --out" in capsys.readouterr().err
    text = printed(capsys, *directories, "--out", str(tmp_path / "out"), "--no-studies", "--no-plots", "--full")
    assert "Leaderboard by WAR-16" in text and (tmp_path / "out" / "index.html").exists()


def test_missing_data_sets_need_the_flag(capsys, store):
    run = store(runs(datasets=["dtd", "pets"]))
    assert main([run, "--top", "5"]) == 2
    assert "--subset" in capsys.readouterr().err
    text = " ".join(printed(capsys, run, "--top", "70", "--subset").split())
    assert "over 2 of the 15 data sets: dtd, pets" in text and "mine [vanilla]" in text


def test_report_of_a_run_on_other_data_sets(capsys, store, tmp_path):
    run = store(runs(datasets=["shapes", "letters"]))
    text = printed(capsys, run, "--no-plots", "--no-studies", "--full")
    assert "Robustness by resolution" in text and "Leaderboard" not in text
    assert main([run, "--no-plots", "--no-studies"]) == 0
    short = capsys.readouterr()
    assert text.startswith(short.out) and "Robustness by resolution" not in short.out
    assert f"all tables: python -m lrjax.report {run} --no-plots --no-studies --full" in short.err
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
    full, wrong = store(runs(), "full"), store(classes_of(runs(), "cars", 195), "wrong")
    pair = store(runs(model="dtd-only", datasets=["dtd"]) + runs(model="pets-only", datasets=["pets"]), "pair")

    def weigh(weights):
        path = tmp_path / f"weights{len(list(tmp_path.iterdir()))}.json"
        path.write_text(json.dumps(weights))
        return str(path)

    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "results.jsonl").write_text('{"schema": 9}\n')
    for arguments, reason in [
        ([str(tmp_path / "none")], "no results in"),
        ([run, "--weights", "paper"], "no weight for a, b"),
        ([run, "--weights", str(tmp_path / "no.json")], "not a JSON file"),
        ([run, "--weights", str(tmp_path / "bad.json")], "not a JSON file"),
        ([run, "--datasets", "x"], "no result is on x; the runs are on a, b"),
        (["--weights", weigh({"cars": -1})], "gives 'cars' the value -1; give a number of at least 0"),
        (["--weights", weigh({"cars": True})], "gives 'cars' the value True"),
        (["--weights", weigh({"cars": 0})], "gives every data set 0"),
        (["--weights", weigh({"casr": 1})], "weighs 'casr', which has no results; did you mean cars"),
        (["--weights", weigh({"cars": 1})], "no WAR weight for imagenet, "),
        (
            [full, "--subset", "--datasets", "dtd", "--weights", weigh({"cars": 1})],
            "no results on a data set with a weight",
        ),
        ([pair, "--subset"], "dtd-only, pets-only have no data set in common"),
        ([wrong], "evaluated on cars with 195 classes, but the benchmark has 196"),
        (["--subset"], "--subset is about your own results"),
        (["--full"], "--full is about your own results"),
        ([full, "--full", "--top", "3"], "leave it or the options of one table out"),
        (["--model", "RN50", "--top", "3"], "leave --metric, --family and --top out"),
        (["--out", str(tmp_path / "bad.json")], "is a file; name a directory"),
        (["--out", "/proc/nowhere", "--no-plots", "--no-studies"], "No such file or directory"),
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
    assert main(["--colour"]) == 2 and capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "run" / "report").exists()


def test_the_module_runs():
    command = [sys.executable, "-m", "lrjax.report", "--top", "1", "--metric", "sarhr", "--format", "csv"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("rank,model,own,native_hr,family,")


def test_weights_are_those_of_the_paper_whatever_else_was_evaluated(capsys, store):
    text = printed(capsys, store(runs(datasets=[*DATASETS, "shapes"])), "--format", "csv")
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(text))}
    assert rows["EVA-02-CLIP-E/14+"]["war16"] == "40.2639" and rows["mine [vanilla]"]["war16"] == "30.7433"


def test_a_second_report_leaves_nothing_of_the_first(store, tmp_path):
    out = str(tmp_path / "out")
    assert main([store(runs(), "a"), "--out", out, "--no-plots", "--no-studies"]) == 0
    (tmp_path / "out" / "notes.txt").write_text("mine")
    assert (tmp_path / "out" / "models" / "mine-vanilla.html").exists()
    command = [store(runs(datasets=["dtd", "pets"]), "b"), "--out", out, "--no-plots", "--no-studies", "--subset"]
    assert main(command) == 0
    names = {path.name for path in (tmp_path / "out" / "datasets").iterdir()}
    assert names == {"dtd.html", "pets.html"}
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "out" / ".report.json").write_text('["../outside", "/etc/hostname", "notes.txt/../x", 3]')
    (tmp_path / "outside").write_text("stays")
    assert main(command) == 0
    assert (tmp_path / "outside").read_text() == "stays"


def test_a_folder_of_others_is_left_as_it_is(capsys, store, tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("mine")
    for listed, words in (
        (None, "is not empty and holds no report"),
        ('["index.html"]', "was not written by an earlier"),
    ):
        if listed:
            (folder / ".report.json").write_text(listed)
        assert main([store(runs()), "--out", str(folder), "--no-plots", "--no-studies"]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and words in captured.err and not captured.out
        assert {path.name for path in folder.iterdir()} <= {"index.html", ".report.json"}
        assert (folder / "index.html").read_text() == "mine"


def test_what_is_not_installed_is_told_before_anything_is_done(capsys, store, tmp_path, monkeypatch):
    run = store(runs())
    for package, arguments, reason in [
        ("jinja2", ["--no-plots", "--no-studies"], "pip install jinja2"),
        ("matplotlib", ["--no-studies"], "--no-plots"),
        ("sklearn", ["--no-plots"], "--no-studies"),
    ]:
        with monkeypatch.context() as patched:
            patched.setitem(sys.modules, package, None)
            assert main([run, *arguments]) == 2
        captured = capsys.readouterr()
        assert reason in captured.err and captured.out == ""
    assert not (tmp_path / "run" / "report").exists()
