"""What fine-tuning on image-text retrieval does to robustness."""

from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import evidence, pairs
from lrjax.leaderboard.studies.figures import low_resolutions
from lrjax.leaderboard.studies.study import Study

NAME = "finetuned"
TITLE = "Fine-tuned models against their bases"


def study(board: Leaderboard) -> Study:
    """Compares each fine-tuned model with the model that it was fine-tuned from.

    Args:
        board: the leaderboard; own runs do not take part.

    Reference: arXiv 2502.03950, abstract and Figure 6.
    """
    board = board.published
    found = pairs.finetuned_pairs(board)
    resolutions = low_resolutions(board)
    findings = []
    for metric in ("war", "acc"):
        for resolution in resolutions if metric == "war" else resolutions[:1]:
            estimate = pairs.estimate(board, found, metric, resolution)
            if estimate is None:
                continue
            score = f"{metric.upper()}-{resolution}"
            findings.append(
                evidence.finding(
                    estimate,
                    claim="Fine-tuned models are less robust to low resolution than their bases.",
                    source="abstract (iii)",
                    measure=f"Mean difference of {score}, fine-tuned minus base, points; {len(found)} fine-tuned "
                    f"models of {estimate.n} bases, which are the units; "
                    f"{pairs.signs(board, found, metric, resolution)}",
                    expected=-1,
                    rule=evidence.UNITS_RULE,
                )
            )
    text = (
        "Models that were fine-tuned for retrieval on COCO or Flickr30k, minus the pre-trained model that they started "
        "from. Two fine-tuned models of one base are not independent, so bases are the units, and there are too few of "
        "them for a verdict: read the signs of the single pairs instead. Fine-tuning also raises the accuracy at full "
        "resolution of some models (ALBEF, BLIP), which moves WAR at every resolution, and lowers that of CoCa."
    )
    chart = pairs.pairs_chart(
        board,
        found,
        name="finetuned-pairs",
        title="Fine-tuned minus base, by resolution",
        alt="Differences of ACC, SAR and WAR between each fine-tuned model and its base, one panel per resolution.",
    ) if found else None  # fmt: skip
    table = pairs.pairs_table(board, found, "Fine-tuned minus base", "Each fine-tuned model against its base.")
    return Study(
        name=NAME,
        title=TITLE,
        text=text,
        charts=(chart,) if chart else (),
        tables=(table,) if found else (),
        findings=tuple(findings),
    )
