"""What a study is: a question to the leaderboard, with charts, tables and findings that carry their numbers."""

import dataclasses
from typing import Literal

from lrjax.display.charts import Chart
from lrjax.display.tables import Table

Verdict = Literal["supports", "contradicts", "undecided"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """A claim of the paper, or a reading of it, and the number that speaks for or against it.

    Attributes:
        claim: what the paper says, or what we read into it, in our words.
        source: where it says so, or that it is our reading.
        measure: what was computed, over which models.
        value: the number.
        low: lower end of its 95 % interval, None where there is none.
        high: upper end.
        n: number of models, pairs or data sets behind it.
        verdict: whether the number supports the claim, by the rule in `rule`.
        rule: the rule, in words.
    """

    claim: str
    source: str
    measure: str
    value: float
    low: float | None
    high: float | None
    n: int
    verdict: Verdict
    rule: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """The answer of a study.

    Attributes:
        name: key in `STUDIES`, also the stem of its files.
        title: its heading.
        text: what is compared and how, one short paragraph.
        charts: pictures.
        tables: numbers.
        findings: claims with their numbers.
    """

    name: str
    title: str
    text: str
    charts: tuple[Chart, ...]
    tables: tuple[Table, ...]
    findings: tuple[Finding, ...]
