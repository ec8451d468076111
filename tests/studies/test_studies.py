"""The studies on the published leaderboard against scipy and printed numbers, and on other leaderboards."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from lrjax.errors import UserError
from lrjax.leaderboard.board import add_runs
from lrjax.leaderboard.studies import STUDIES, TITLES, datasets, run_study, size, weights
from lrjax.leaderboard.studies.evidence import verdict
from studies.boards import board, entry, rows, with_own


def find(study, *words):
    (found,) = [one for one in study.findings if all(word in f"{one.claim} {one.measure}" for word in words)]
    return found


def test_registry():
    assert list(STUDIES) == [
        "curves", "correlations", "size", "data", "buckets", "finetuned", "input-size", "datasets", "weights",
    ]  # fmt: skip
    assert list(TITLES) == list(STUDIES)
    with pytest.raises(UserError, match="did you mean 'finetuned'"):
        run_study("finetund", None)


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_is_whole(studies, name):
    study = studies[name]
    assert (study.name, study.title) == (name, TITLES[name])
    assert study.text and study.charts and study.tables and study.findings
    assert all(chart.name.startswith(name) for chart in study.charts)
    assert len({chart.name for chart in study.charts}) == len(study.charts)
    for table in study.tables:
        assert all(len(row) == len(table.header) for row in table.rows)


@pytest.mark.parametrize("name", STUDIES)
def test_verdicts_follow_from_the_intervals(studies, name):
    for one in studies[name].findings:
        assert np.isfinite(one.value)
        if one.low is None:
            assert one.high is None and one.verdict == "undecided" and one.n < 6
        else:
            assert one.low <= one.high
            expected = 1 if "wholly above" in one.rule else -1
            threshold = float(one.rule.partition("wholly above " if expected > 0 else "wholly below ")[2].split(",")[0])
            assert one.verdict == verdict(one.low, one.high, expected=expected, threshold=threshold)


def test_curves(published, studies):
    table = studies["curves"].tables[0]
    line = next(row for row in table.rows if row[0] == "CoCa")
    chosen = [entry.family == "CoCa" for entry in published.entries]
    np.testing.assert_allclose(line[1:7], [3, *(100 * published.top1[chosen].mean(axis=(0, 1)))])
    assert [row[0] for row in table.rows][:2] == ["CLIPA", "EVA-CLIP"]
    families, means = studies["curves"].charts
    assert sum(len(panel.series) for panel in families.panels) == 66 + 10
    assert len(means.panels[0].series) == 10


def test_correlations_are_those_of_table_11(studies):
    study = studies["correlations"]
    table = {row[0]: row[1:3] for row in study.tables[0].rows}
    assert table["eurosat"] == ("0.25753", "0.49229")
    assert table["imagenet_a"] == ("0.55646", "0.68070")
    assert table["imagenet"] == ("0.99269", "0.93295")
    assert table["aircraft"] == ("0.89746", "0.89016")
    assert find(study, "EuroSAT").value == pytest.approx(0.49229 - 0.25753, abs=2e-5)
    assert find(study, "ImageNet-A").value == pytest.approx(0.68070 - 0.55646, abs=2e-5)
    assert find(study, "on average").value == pytest.approx(0.86526 - 0.88869, abs=2e-5)
    assert [one.verdict for one in study.findings] == ["supports"] * 3


def test_size_against_scipy(published, studies):
    war = published.score("war", 16)
    parameters = [entry.parameters for entry in published.entries]
    pairs = [entry.pairs for entry in published.entries]
    vit = np.array([entry.tower == "vit" for entry in published.entries])
    study = studies["size"]
    with_size, with_pairs = stats.spearmanr(parameters, war).statistic, stats.spearmanr(pairs, war).statistic
    assert find(study, "of 10 families").value == pytest.approx(with_size)
    assert find(study, "61 models").value == pytest.approx(
        stats.spearmanr(np.array(parameters)[vit], war[vit]).statistic
    )
    assert find(study, "whatever the data are").value == pytest.approx(with_pairs)
    assert find(study, "matters less").value == pytest.approx(with_pairs - with_size)
    stars = [series for series in study.charts[0].panels[0].series if series.marker == "star"]
    assert [one.split("\n")[0] for one in stars[0].labels] == ["RN50", "RN101", "RN50x4", "RN50x16", "RN50x64"]


def test_sizes_within_two_percent_are_one(published):
    assert size.size_levels(np.array([200.0, 100, 101, 103, 300])).tolist() == [2, 0, 0, 1, 3]
    families = size.family_correlations(published, 16)
    assert list(families) == ["CLIP", "CLIPA", "EVA-CLIP", "MetaCLIP", "OpenCLIP", "SigLIP"]
    chosen = [number for number, entry in enumerate(published.entries) if entry.family == "MetaCLIP"]
    levels = [{"B": 0, "L": 1, "H": 2, "G": 3}[published.entries[n].name.split("ViT-")[1][0]] for n in chosen]
    expected = stats.spearmanr(levels, published.score("war", 16)[chosen]).statistic
    assert families["MetaCLIP"].value == pytest.approx(expected)


def test_larger_inputs_by_hand(published, studies):
    war = dict(zip(published.names, 100 * published.score("war", 16), strict=True))
    siglip = np.mean([war[f"SigLIP-ViT-B/16@{pixels}px"] for pixels in (256, 384, 512)]) - war["SigLIP-ViT-B/16"]
    others = [
        ("ViT-L/14", "ViT-L/14@336px"), ("CLIPA-ViT-L/14", "CLIPA-ViT-L/14@336px"),
        ("CLIPA-ViT-H/14", "CLIPA-ViT-H/14@336px (DataComp-1B)"), ("CLIPA-ViT-G/14", "CLIPA-ViT-G/14@336px"),
        ("EVA-02-CLIP-L/14", "EVA-02-CLIP-L/14+"),
        ("OpenCLIP-ViT-H/14-quickgelu", "OpenCLIP-ViT-H/14-quickgelu@336px"),
        ("SigLIP-ViT-L/16@256px", "SigLIP-ViT-L/16@384px"), ("SigLIP-ViT-SO400M", "SigLIP-ViT-SO400M@336px"),
    ]  # fmt: skip
    one = find(studies["input-size"], "WAR-16")
    assert one.value == pytest.approx(np.mean([siglip, *(war[b] - war[a] for a, b in others)]))
    assert (one.n, one.verdict) == (9, "supports")
    assert "lower in 10 of 11 pairs" in one.measure


def test_fine_tuning_has_too_few_bases_for_a_verdict(studies):
    one = find(studies["finetuned"], "WAR-16")
    assert (one.n, one.low, one.verdict) == (4, None, "undecided")
    assert one.value == pytest.approx(-3.1414, abs=1e-4)
    assert "lower in 7 of 7 pairs" in one.measure


def test_groups_of_datasets(published, studies):
    vectors = datasets.standardised(published.improved(16).T)
    np.testing.assert_allclose(vectors @ vectors.T, np.corrcoef(published.improved(16).T), atol=1e-12)
    first = datasets.grouping(vectors)
    assert studies["datasets"].findings[0].value == first.margin.value  # another run, the same numbers
    names = np.array(published.datasets)
    assert [names[first.labels == label].tolist() for label in (1, 2)] == [["imagenet_a"], ["eurosat"]]
    assert first.stability[3] > 0.95


def test_weights(published, studies):
    found = weights.search(published)
    assert found.values["equal"] == pytest.approx(3.53203, abs=1e-5)
    assert found.values["given"] == pytest.approx(3.73358, abs=1e-5)
    assert found.value > found.values["given"]
    study = studies["weights"]
    assert find(study, "plain mean").value == pytest.approx(found.values["given"] - found.values["equal"])
    assert find(study, "maximise").value == pytest.approx(found.value - found.values["given"])
    ranks = next(table for table in study.tables if table.title == "Certainty of ranks")
    assert len(ranks.rows) == 20 and ranks.rows[0][:2] == (1, "EVA-02-CLIP-E/14+")
    chart = next(chart for chart in study.charts if chart.name == "weights-ranks")
    assert chart.y.ticks[65] == "RN50x4"
    assert run_study("weights", published, resolution=32, found=weights.search(published, resolution=32)).tables


@pytest.mark.parametrize("name", STUDIES)
def test_own_runs_change_no_finding(studies, name):
    study = run_study(name, with_own())
    for one, before in zip(study.findings, studies[name].findings, strict=True):
        assert one == before
    if name in ("correlations", "data", "finetuned", "input-size", "datasets"):
        assert (study.charts, study.tables) == (studies[name].charts, studies[name].tables)


def test_own_runs_are_drawn_and_named():
    leaderboard = with_own("mine [lr_tk0]", war_like=20)
    for name in ("curves", "size", "buckets", "weights"):
        study = run_study(name, leaderboard)
        own = [
            (series, label)
            for chart in study.charts
            for series in chart.series
            for label in (series.name, *series.labels)
            if "mine [lr_tk0]" in label
        ]
        assert own, name
        assert all(series.emphasis == "strong" for series, _ in own)
    table = next(table for table in study.tables if table.title == "Certainty of ranks")
    assert "mine [lr_tk0]" in {row[1] for row in table.rows}


@pytest.mark.parametrize("name", STUDIES)
def test_a_restricted_leaderboard_with_a_real_run(published, name):
    names = ["imagenet_a", "dtd", "cars"]
    leaderboard = add_runs(published, rows(names), subset=True)
    assert leaderboard.note
    study = run_study(name, leaderboard)
    assert study.text
    if name == "datasets":
        assert "at least 6 data sets" in study.text and not study.charts


@pytest.mark.parametrize("name", STUDIES)
def test_one_dataset_and_an_own_run_without_low_resolutions(published, name):
    run = [row for row in rows(["cars"]) if row.resolution == "hr"]
    study = run_study(name, add_runs(published, run, subset=True))
    assert study.text


@pytest.mark.parametrize("name", STUDIES)
def test_a_tiny_leaderboard(name):
    with pytest.raises(UserError, match="published models"):
        run_study(name, board([entry("mine", own=True)], [0.2]))
    entries = [entry("a", family="A"), entry("b", family="B", parameters=2 * 10**8, pairs=1000.0, data="LAION-1B")]
    study = run_study(name, board(entries, [0.2, 0.4]))
    assert study.text
    assert all(one.verdict == "undecided" for one in study.findings)


def test_texts_for_those_who_do_not_see_a_chart_tell_what_is_drawn(published, studies):
    alts = {chart.name: chart.alt for study in studies.values() for chart in study.charts}
    assert "one line for each of 10 families" in alts["curves-means"]
    assert alts["datasets-tsne"].startswith("15 data sets")
    assert "each of 66 models" in alts["weights-ranks"]
    fewer = published.keep(lambda entry: entry.family in ("CLIP", "BLIP")).restrict(published.datasets[:7])
    assert "2 families" in run_study("curves", fewer).charts[1].alt
    assert run_study("datasets", fewer).charts[0].alt.startswith("7 data sets")
    results = ("fall", "rise", "better", "steep", "higher", "lower", "as well")
    assert not [alt for alt in alts.values() if any(word in alt for word in results)]


def test_what_the_paper_does_not_say_is_not_its_claim(published, studies):
    for one in studies["weights"].findings:
        assert "hardly depends on alpha" not in one.claim or one.source.startswith("our reading")
    given = run_study("weights", dataclasses.replace(published, weights=dict.fromkeys(published.datasets, 1.0)))
    assert all("not " in one.source for one in given.findings if "given" in one.measure)


def test_data_sets_have_their_usual_names_in_charts(studies):
    for name in ("correlations-datasets", "weights-values", "weights-correlations"):
        (chart,) = [chart for study in studies.values() for chart in study.charts if chart.name == name]
        assert list(chart.y.ticks.values())[:3] == ["ImageNet", "ImageNet-A", "ImageNet-V2"]


def test_the_search_says_when_its_data_sets_are_missing(published):
    with pytest.raises(UserError, match="eurosat"):
        weights.search(published.restrict(["cars", "pets"]))


def test_other_weights_are_not_called_published(published):
    given = dataclasses.replace(published, weights=dict.fromkeys(published.datasets, 1.0))
    study = run_study("weights", given)
    assert "Weight, given" in study.tables[0].header
    assert find(study, "maximise").claim == "The given weights maximise the objective."
