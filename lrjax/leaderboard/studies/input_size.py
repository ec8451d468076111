"""What a larger input size of the same model does to robustness."""

from lrjax.leaderboard.board import Leaderboard
from lrjax.leaderboard.studies import pairs
from lrjax.leaderboard.studies.study import Study

NAME = "input-size"
TITLE = "Larger against smaller input of the same model"


def study(board: Leaderboard) -> Study:
    """Compares models that differ in their input size only.

    Args:
        board: the leaderboard; own runs do not take part.

    Reference: arXiv 2502.03950, abstract and Figure 7, left.
    """
    board = board.published
    found = pairs.input_pairs(board)
    findings = pairs.pair_findings(
        board,
        found,
        claim="Models with a larger input are less robust to low resolution.",
        source="abstract (iii), Figure 7, left",
        difference="larger minus smallest input",
        units=("models", "smallest"),
    )
    resized = sorted(board.entries[pair.other].name for pair in found if not board.entries[pair.other].native_hr)
    text = (
        "Models of one family, architecture and pre-training that differ in their input size, each against the one "
        "with the smallest input. Most large-input models were trained on at the larger size, some for more images in "
        "all (EVA-02-CLIP-L/14+), so the comparison is not of the input size alone. "
        f"The published HR accuracies of {len(resized)} of the {len(found)} larger ones are not at their input size "
        "but of images that were first reduced to 224 pixels; a lower HR accuracy makes SAR and WAR look better, so "
        "the loss at the true input size would be larger. ACC does not depend on that."
    )
    return pairs.pair_study(
        board,
        found,
        name=NAME,
        title=TITLE,
        text=text,
        difference="Larger minus smaller input",
        sides=("each larger input", "the smallest"),
        findings=findings,
    )
