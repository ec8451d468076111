"""The leaderboard: scores of own runs among the published ones, subsets, and what goes wrong."""

import dataclasses

import numpy as np
import pytest

from lrjax.data.published import DATASETS, RESOLUTIONS, load_published
from lrjax.errors import UserError
from lrjax.leaderboard.board import add_runs, parse_metric, published_leaderboard
from lrjax.metrics.robustness import PAPER_WEIGHTS
from lrjax.report.board_tables import leaderboard_data, leaderboard_table, model_table
from lrjax.results.row import Row

BOARD = published_leaderboard()


def runs(published, *, datasets=DATASETS, resolutions=RESOLUTIONS, model="M", variant="vanilla", scale=1.0, **extra):
    """Rows with the accuracies of a published model, times `scale` below "hr"."""
    source = BOARD.top1[BOARD.find(published)]
    return [
        Row(
            model=model,
            variant=variant,
            dataset=dataset,
            condition={"resolution": resolution},
            metric="acc1",
            value=source[DATASETS.index(dataset), RESOLUTIONS.index(resolution)] * (1 if resolution == "hr" else scale),
            n=100,
            key=f"{model}-{variant}-{dataset}",
            config_hash="c",
            question="zeroshot",
            kind="zeroshot",
            question_version=1,
            seed=None,
            versions={},
            extra={"classes": BOARD.classes[dataset], "parameters": 7, "expected": 100} | extra,
        )
        for dataset in datasets
        for resolution in resolutions
    ]


def test_a_run_with_published_accuracies_gets_the_published_scores_and_shares_the_rank():
    board = add_runs(BOARD, runs("EVA-02-CLIP-B/16"))
    twin, number = board.find("EVA-02-CLIP-B/16"), board.find("M [vanilla]")
    assert board.entries[number].own and board.entries[number].family == "own"
    for metric in ("acc", "sar", "war"):
        for resolution in RESOLUTIONS:
            scores, ranks = board.score(metric, resolution), board.ranks(metric, resolution)
            assert scores[number] == scores[twin]
            assert ranks[number] == ranks[twin]
    assert board.score("war", 16)[number] == pytest.approx(0.307432935263405, abs=1e-15)
    assert board.published.names == BOARD.names


def test_a_variant_is_measured_against_its_vanilla_model():
    rows = runs("RN50") + runs("RN50", variant="lr_tk0", scale=1.1)
    rows += [row for row in runs("RN50", model="N", resolutions=(16, "hr")) if row.resolution != 32]
    board = add_runs(BOARD, rows)
    first, second = board.find("M [vanilla]"), board.find("M [lr_tk0]")
    np.testing.assert_allclose(board.score("sar", 16)[second], 1.1 * board.score("sar", 16)[first], rtol=1e-12)
    np.testing.assert_array_equal(board.reference[first], board.reference[second])
    # what was not evaluated has no score and no rank, and stands last
    third = board.find("N [vanilla]")
    assert np.isfinite(board.score("war", 16)[third])
    assert np.isnan(board.score("war", 32)[third]) and np.isnan(board.ranks("acc", 32)[third])
    assert board.order("war", 32)[-1] == third
    assert np.nanmax(board.ranks("war", 32)) <= len(board.entries) - 1


def test_what_is_known_of_a_published_architecture_is_joined():
    board = add_runs(BOARD, runs("EVA-02-CLIP-B/16", model="EVA02-B-16", image_size=224))
    entry = board.entries[-1]
    assert (entry.family, entry.gflops, entry.patch, entry.parameters) == ("EVA-CLIP", 35.13, 16, 7)
    other_size = add_runs(BOARD, runs("EVA-02-CLIP-B/16", model="EVA02-B-16", image_size=448)).entries[-1]
    assert (other_size.image_size, other_size.gflops) == (448, None)


def test_an_own_model_has_the_facts_of_its_backbone_but_not_of_its_weights():
    facts = {"backbone": "ViT-L-14:openai", "image_size": 224}
    published = BOARD.entries[BOARD.find("ViT-L/14")]
    own = {"model": "mine", "source": "a/mine.pt", "release": False}
    for extra, data, source in (({"model": "known", "release": True}, published.data, ""), (own, "", "a/mine.pt")):
        entry = add_runs(BOARD, runs("RN50", **facts, **extra)).entries[-1]
        assert (entry.name, entry.own, entry.backbone) == (f"{extra['model']} [vanilla]", True, "ViT-L-14:openai")
        assert (entry.family, entry.patch, entry.image_size, entry.gflops) == ("CLIP", 14, 224, published.gflops)
        assert (entry.data, entry.pairs, entry.source) == (data, published.pairs if data else None, source)


def test_missing_data_sets_need_the_flag_and_are_named():
    rows = runs("RN50", datasets=["dtd", "pets"])
    with pytest.raises(UserError, match=r"no results on imagenet, .*--subset"):
        add_runs(BOARD, rows)
    board = add_runs(BOARD, rows, subset=True)
    assert board.datasets == ("dtd", "pets")
    assert board.note == "over 2 of the 15 data sets: dtd, pets"
    # everybody is scored over the two
    model, places = board.find("RN50"), [DATASETS.index("dtd"), DATASETS.index("pets")]
    weights = np.array([PAPER_WEIGHTS["dtd"], PAPER_WEIGHTS["pets"]])
    expected = (BOARD.improved(16)[BOARD.find("RN50"), places] * weights).sum() / weights.sum()
    assert board.score("war", 16)[model] == pytest.approx(expected, abs=1e-15)
    assert board.score("war", 16)[model] == board.score("war", 16)[-1]
    assert board.score("acc", 32)[model] == pytest.approx(BOARD.top1[BOARD.find("RN50"), places, 1].mean())


def test_runs_on_other_data_sets_are_not_ranked():
    rows = [row for row in runs("RN50", datasets=["dtd"])]
    elsewhere = [Row(**{**row.__dict__, "dataset": "shapes"}) for row in rows]
    assert add_runs(BOARD, elsewhere) is BOARD
    both = add_runs(BOARD, runs("RN50") + elsewhere)
    assert both.datasets == DATASETS and len(both.entries) == 67


def at_chance(rows, dataset, value, n):
    """The rows with another accuracy on a data set, at full size."""
    changed = {"value": value, "n": n}
    return [
        Row(**row.__dict__ | (changed if row.resolution == "hr" else {"n": n})) if row.dataset == dataset else row
        for row in rows
    ]


@pytest.mark.parametrize(
    ("value", "n", "defined"), [(0.1, 100, False), (0.15, 100, False), (0.15, 5400, True), (0.02, 5400, False)]
)
def test_an_own_run_that_guesses_at_full_size_has_no_sar_and_no_rank_by_it(value, n, defined):
    board = add_runs(BOARD, at_chance(runs("RN50"), "eurosat", value, n))
    number, column = board.find("M [vanilla]"), DATASETS.index("eurosat")
    assert np.isfinite(board.relative(16)[number, column]) == defined
    assert np.isfinite(board.score("sar", 16)[number]) == np.isfinite(board.ranks("sar", 16)[number]) == defined
    assert defined or board.order("sar", 16)[-1] == number
    assert np.isfinite(board.score("war", 16)[number]) and np.isfinite(board.score("acc", 16)[number])
    reason = "M [vanilla] has no SAR: its HR accuracy on eurosat is not above chance."
    assert board.notes(number) == ([] if defined else [reason])
    table = leaderboard_table(board, "sar", 16)
    line = next(line for line in table.rows if line[1] == "M [vanilla]")
    assert (line[0] is None) == (line[4] is None) == (not defined)
    assert (reason in table.caption) == (not defined)
    others = board.restrict([name for name in DATASETS if name != "eurosat"])
    assert np.isfinite(others.score("sar", 16)[number]) and not others.notes(number)
    assert board.keep([number]).notes(0) == board.notes(number)


def test_published_figures_are_taken_as_they_are():
    guessing = dataclasses.replace(BOARD, reference=np.full_like(BOARD.reference, 1e-3))
    assert np.isfinite(guessing.score("sar", 16)).all()
    board = add_runs(BOARD, runs("RN50"))
    np.testing.assert_array_equal(board.score("sar", 16)[:66], BOARD.score("sar", 16))


def fewer(rows, *datasets):
    """The rows, of 20 images on some data sets."""
    return [Row(**row.__dict__ | {"n": 20}) if row.dataset in datasets else row for row in rows]


def test_a_model_that_did_not_see_all_images_has_scores_and_no_rank():
    best = [Row(**row.__dict__ | {"value": 0.99}) for row in runs("RN50")]
    rows = fewer(best, "cars", "dtd") + runs("RN50", model="N")
    board = add_runs(BOARD, rows)
    number, whole = board.find("M [vanilla]"), board.find("N [vanilla]")
    entry = board.entries[number]
    assert entry.name == "M [vanilla] ‡" and board.names[whole] == "N [vanilla]"
    assert entry.incomplete == (("dtd", "20 of 100"), ("cars", "20 of 100"))
    without = add_runs(BOARD, runs("RN50", model="N"))
    for metric in ("acc", "sar", "war"):
        assert board.score(metric, 16)[number] > np.delete(board.score(metric, 16), number).max()
        ranks = board.ranks(metric, 16)
        assert np.isnan(ranks[number]) and board.order(metric, 16)[-1] == number
        np.testing.assert_array_equal(np.delete(ranks, number), without.ranks(metric, 16))
    reason = "M [vanilla] ‡ has no rank, for it saw only 20 of 100 images of dtd, 20 of 100 images of cars."
    assert board.notes(number) == [reason] and board.notes(whole) == []
    table = leaderboard_table(board)
    assert table.rows[-1][:2] == (None, "M [vanilla] ‡") and table.rows[-1][5] > 0
    assert reason in table.caption and reason not in leaderboard_table(board, top=3).caption
    data = leaderboard_data(board)
    column = data.header.index("incomplete")
    assert [line[column] for line in data.rows] == [None] * 67 + ["dtd 20 of 100; cars 20 of 100"]
    assert reason in model_table(board, number).caption and "Place" not in model_table(board, number).caption
    # on data sets that it saw as a whole it has a rank
    rest = board.restrict([name for name in DATASETS if name not in ("cars", "dtd")])
    assert rest.ranks("acc", 16)[number] == 1 and rest.names[number] == "M [vanilla]"
    assert board.restrict(["cars", "pets"]).entries[number].incomplete == (("cars", "20 of 100"),)


def test_zero_reference_leaves_robustness_undefined():
    rows = [Row(**{**row.__dict__, "value": 0.0}) if row.dataset == "cars" else row for row in runs("RN50")]
    board = add_runs(BOARD, rows)
    assert np.isnan(board.score("sar", 16)[-1]) and np.isnan(board.score("war", 16)[-1])
    assert np.isfinite(board.score("acc", 16)[-1])


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        (runs("RN50", resolutions=(16,)), "no results at 'hr'"),
        (runs("RN50") + runs("RN50"), "two results for M vanilla on imagenet at 16"),
        (runs("RN50", variant="lr_tk0"), "no 'vanilla' results"),
        (runs("RN50") + runs("RN50", model="N", datasets=["dtd"]), "no results on imagenet, .*everybody over dtd with"),
        (runs("RN50", classes=9), "on imagenet with 9 classes, but the benchmark has 1000"),
    ],
)
def test_runs_that_cannot_be_ranked(rows, reason):
    with pytest.raises(UserError, match=reason):
        add_runs(BOARD, rows)


@pytest.mark.parametrize(
    ("name", "parsed"),
    [("war16", ("war", 16)), ("SAR-hr", ("sar", "hr")), (" acc128 ", ("acc", 128)), ("war_64", ("war", 64))],
)
def test_names_of_metrics(name, parsed):
    assert parse_metric(name) == parsed


@pytest.mark.parametrize("name", ["wra16", "war", "war17", "", "16", "war16x"])
def test_unknown_metrics_suggest_known_ones(name):
    with pytest.raises(UserError, match=r"unknown metric .*(did you mean|there are) .*(war|acc|sar)(16|32|64|128|hr)"):
        parse_metric(name)


def test_unknown_names_suggest_known_ones():
    with pytest.raises(UserError, match="unknown model 'RN-50'; did you mean 'RN50'"):
        BOARD.find("RN-50")
    with pytest.raises(UserError, match="no data set 'eurosta'; did you mean eurosat"):
        published_leaderboard(["eurosta"])
    with pytest.raises(UserError, match="at least one"):
        published_leaderboard([])
    with pytest.raises(UserError, match="no resolution 17"):
        BOARD.score("war", 17)
    with pytest.raises(UserError, match="unknown metric 'f1'"):
        BOARD.score("f1", 16)
    with pytest.raises(UserError, match="no WAR weight for imagenet_a, "):
        published_leaderboard(weights={"imagenet": 1.0})


def test_other_weights():
    board = published_leaderboard(weights=dict.fromkeys(DATASETS, 2.0))
    np.testing.assert_allclose(board.score("war", 16), BOARD.improved(16).mean(axis=1), rtol=1e-13)
    assert published_leaderboard(["cars"], {"cars": 3.0}).score("war", 16) == pytest.approx(
        BOARD.improved(16)[:, DATASETS.index("cars")]
    )


def test_keep_and_flags():
    board = BOARD.keep(lambda entry: entry.family == "ALBEF")
    assert board.names == tuple(name for name in BOARD.names if name.startswith("ALBEF"))
    assert not any(entry.native_hr for entry in board.entries)
    assert BOARD.families[0] == "ALBEF" and len(BOARD.families) == 10
    assert BOARD.suspects == load_published().suspects
