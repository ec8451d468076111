"""The 324 zoom views of an image: 36 sizes of its shorter side, seen at nine places."""

SCALES = (
    10, 16, 32, 48, 64, 96, 128, 192, 224, 240, 256, 288, 320, 384, 448, 512, 576, 640, 664, 672, 680, 690, 700, 720,
    768, 832, 896, 122, 235, 348, 460, 573, 686, 798, 911, 1024,
)  # fmt: skip
"""Lengths of the shorter side in pixels, in the published order, which decides ties: not ascending."""

ANCHORS = tuple((row, column) for row in range(3) for column in range(3))
"""Places (row, column) of the centre of the view on a 3 x 3 grid, row by row; (1, 1) is the middle."""

VIEWS = len(ANCHORS) * len(SCALES)
"""Number of zoom views, 324."""


def anchor_starts(length: int, size: int = 224) -> tuple[int, int, int]:
    """Returns the first pixels of the windows around the three anchors of an axis.

    Args:
        length: length of the resized axis in pixels.
        size: side of the window in pixels.

    Returns:
        Three numbers, negative where the window begins outside.

    Reference:
        arXiv 2304.05538, appendix A.1.
    """
    tile = length // 3
    return tuple(number * tile + tile // 2 - size // 2 for number in range(3))
