"""What fine-tuning on image-text retrieval does to robustness."""

from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import pairs
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
    findings = pairs.pair_findings(
        board,
        found,
        claim="Fine-tuned models are less robust to low resolution than their bases.",
        source="abstract (iii)",
        difference="fine-tuned minus base",
        units=("fine-tuned models", "bases"),
    )
    text = (
        "Models that were fine-tuned for retrieval on COCO or Flickr30k, minus the pre-trained model that they started "
        "from. Two fine-tuned models of one base are not independent, so bases are the units, and there are too few of "
        "them for a verdict: read the signs of the single pairs instead. Fine-tuning also raises the accuracy at full "
        "resolution of some models (ALBEF, BLIP), which moves WAR at every resolution, and lowers that of CoCa."
    )
    return pairs.pair_study(
        board,
        found,
        name=NAME,
        title=TITLE,
        text=text,
        difference="Fine-tuned minus base",
        sides=("each fine-tuned model", "its base"),
        findings=findings,
    )
