"""The front page of a report of own runs: what was measured, what came out, what to doubt, how to make it again."""

import dataclasses
from collections.abc import Mapping, Sequence

from lrjax.display.charts import Chart
from lrjax.display.page import Page
from lrjax.display.tables import Table, counted, parameter_count
from lrjax.leaderboard.bootstrap import Replicates
from lrjax.leaderboard.completeness import images_seen
from lrjax.leaderboard.studies.figures import dataset_title, number
from lrjax.report.doubts import doubts
from lrjax.report.headline import comparisons, headline_tables, mark, mean_difference
from lrjax.report.skipped import Skipped, skipped_images
from lrjax.results.row import Row

_MOST_NAMES = 3
"""Models that the heading names; of more it gives the number."""
_MOST_FINDINGS = 4
_FINGERPRINT = 32


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overview:
    """What the front page shows of own runs.

    Attributes:
        title: heading.
        lead: what was asked of what, in a few sentences.
        findings: what came out, sentences.
        headline: tables of mean accuracy.
        charts: those that matter most.
        doubts: of `doubts`.
        skipped: of `skipped_images`.
        facts: how to make the results again, names and values.
        systems: the models and variants.
        datasets: the data sets.
        details: further tables.
        more_charts: further charts.
    """

    title: str
    lead: str
    findings: Sequence[str] = ()
    headline: Sequence[Table] = ()
    charts: Sequence[Chart] = ()
    doubts: Sequence[str] = ()
    skipped: Sequence[Skipped] = ()
    facts: Sequence[tuple[str, str]] = ()
    systems: Table
    datasets: Table
    details: Sequence[Table] = ()
    more_charts: Sequence[Chart] = ()


def overview(
    rows: Sequence[Row],
    replicates: Replicates | None,
    questions: Sequence[Page],
    *,
    charts: Mapping[str, Chart],
    details: Sequence[Table],
    commands: Mapping[str, str],
) -> Overview:
    """Collects what the front page shows.

    Args:
        rows: result rows of the data sets that are shown, at least one.
        replicates: of their accuracies; None without any.
        questions: pages of questions.
        charts: of `run_charts`; "accuracy" and "by_dataset" are those that matter.
        details: further tables.
        commands: of `read_commands`.
    """
    first = ("accuracy", "by_dataset")
    return Overview(
        title=_title(rows),
        lead=_lead(rows),
        findings=[] if replicates is None else _findings(replicates),
        headline=[] if replicates is None else headline_tables(replicates),
        charts=[charts[name] for name in first if name in charts],
        doubts=doubts(rows, None if replicates is None else replicates.results, questions),
        skipped=skipped_images(rows),
        facts=_facts(rows, commands),
        systems=_systems(rows),
        datasets=_datasets(rows),
        details=details,
        more_charts=[chart for name, chart in charts.items() if name not in first],
    )


def _title(rows: Sequence[Row]) -> str:
    models = list(dict.fromkeys(row.model for row in rows))
    return f"Your run: {', '.join(models) if len(models) <= _MOST_NAMES else counted(len(models), 'model')}"


def _lead(rows: Sequence[Row]) -> str:
    variants = dict.fromkeys(row.variant for row in rows)
    datasets = dict.fromkeys(row.test_set for row in rows)
    questions = dict.fromkeys(row.question for row in rows)
    resolutions = sorted({row.resolution for row in rows}, key=lambda one: (isinstance(one, str), one))
    at = ", ".join(f"{one} px" if isinstance(one, int) else one.upper() for one in resolutions)
    return (
        f"{_listed('variant', list(variants))} on {_listed('data set', list(map(dataset_title, datasets)))}. "
        f"Asked: {', '.join(questions)}, at {at}."
    )


def _listed(noun: str, names: Sequence[str]) -> str:
    few = len(names) <= 2 * _MOST_NAMES
    return f"{counted(len(names), noun)} ({', '.join(names)})" if few else counted(len(names), noun)


def _findings(replicates: Replicates) -> list[str]:
    """What is significantly better or worse, at the lowest resolution and at that of the model itself."""
    results, found = replicates.results, []
    for pair in comparisons(results):
        for at in dict.fromkeys((results.resolutions[0], results.resolutions[-1])):
            difference = mean_difference(replicates, pair, at)
            if difference is None or difference.low is None or difference.high is None:
                continue
            where = f"At {at} px" if isinstance(at, int) else f"At {at.upper()}"
            ends = f"{number(difference.low, 1)} to {number(difference.high, 1)}"
            words = "above" if difference.value > 0 else "below"
            if not mark(difference):
                found.append(f"{where} {pair.name} and {pair.against} do not differ significantly ({ends} points).")
            else:
                size = number(abs(difference.value), 1)
                found.append(f"{where} {pair.name} is {size} points {words} {pair.against} ({ends}).")
    return found if len(found) <= _MOST_FINDINGS else []


def _facts(rows: Sequence[Row], commands: Mapping[str, str]) -> list[tuple[str, str]]:
    configs = list(dict.fromkeys(row.config_hash for row in rows))
    versions = dict.fromkeys(", ".join(f"{name} {one}" for name, one in row.versions.items()) for row in rows)
    precisions = dict.fromkeys(str(row.extra["precision"]) for row in rows if "precision" in row.extra)
    seeds = dict.fromkeys("none" if row.seed is None else str(row.seed) for row in rows)
    questions = dict.fromkeys(f"{row.question} {row.question_version} ({row.kind})" for row in rows)
    facts = [
        *(("Command", commands[one]) for one in configs if one in commands),
        ("Config hash", ", ".join(configs)),
        ("Seed", ", ".join(seeds)),
        ("Questions", ", ".join(questions)),
        ("Precision", ", ".join(precisions)),
        *(("Versions", one) for one in versions),
    ]
    return [(name, value) for name, value in facts if value]


def _systems(rows: Sequence[Row]) -> Table:
    lines = {}
    for row in rows:
        backbone, source, weights = (str(row.extra.get(name) or "") for name in ("backbone", "source", "weights"))
        facts = (backbone or None, parameter_count(row.extra.get("parameters")), source or None, weights[:12] or None)
        lines.setdefault((row.model, row.variant), facts)
    header = ("Model", "Variant", "Backbone", "Parameters", "Weights", "SHA-256")
    caption = "SHA-256: the first digits of the hash of the weights."
    return Table("Models and variants", caption, header, tuple(name + facts for name, facts in lines.items()), labels=3)


def _datasets(rows: Sequence[Row]) -> Table:
    lines = {}
    for row in rows:
        fingerprint = (row.extra.get("images") or {}).get("fingerprint")
        shown = None if fingerprint is None else str(fingerprint)[:_FINGERPRINT]
        lines.setdefault(row.test_set, (shown, row.extra.get("classes"), images_seen(row)))
    caption = f"Fingerprint: what tells these images from others, its first {_FINGERPRINT} characters."
    header = ("Data set", "Fingerprint", "Classes", "Images")
    return Table("Data sets of the run", caption, header, tuple((name, *facts) for name, facts in lines.items()), 2)
