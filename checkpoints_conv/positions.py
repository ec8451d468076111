"""Position tables at another input size: the grid of patch rows resampled, the rows before it kept."""

import math

import numpy as np

KERNELS = ("bicubic_antialias", "bicubic", "linear_corners")


def resample_positions(table: np.ndarray, grid: int, *, prefix: int, kernel: str) -> np.ndarray:
    """Resample a position table to another square grid, in float64.

    Args:
        table: [prefix + g * g, D].
        grid: new grid side G.
        prefix: rows before the grid, which are kept (class token, mean row).
        kernel: an entry of `KERNELS`, see `resize_matrix`.

    Returns:
        [prefix + G * G, D] with the dtype of the table, which itself is returned where G is g.

    Raises:
        ValueError: when the rows behind the prefix are no square grid.
    """
    side = math.isqrt(max(len(table) - prefix, 0))
    if side * side != len(table) - prefix or not side:
        raise ValueError(f"{len(table)} rows are not {prefix} and a square grid")
    if side == grid:
        return table
    matrix = resize_matrix(side, grid, kernel)
    cells = table[prefix:].astype(np.float64).reshape(side, side, -1)
    rows = np.tensordot(matrix, cells, axes=(1, 0))  # [G, g, D]
    resampled = np.tensordot(matrix, rows, axes=(1, 1)).swapaxes(0, 1)  # [G, G, D]
    return np.concatenate([table[:prefix], resampled.reshape(grid * grid, -1).astype(table.dtype)])


def resize_matrix(source: int, target: int, kernel: str) -> np.ndarray:
    """Return the matrix that resizes one axis.

    Args:
        source: length of the axis.
        target: new length.
        kernel: "bicubic_antialias": Keys cubic with a = -0.5, widened when shrinking, taps outside dropped and the
            others renormalised (`antialias=True` in PyTorch, Pillow); "bicubic": a = -0.75, never widened, taps outside
            moved to the border (`antialias=False` in PyTorch); both with half-pixel centres. "linear_corners": linear,
            first and last samples kept in place (order 1 of `scipy.ndimage.zoom`).

    Returns:
        float64 [target, source]; every row sums to 1.

    Raises:
        ValueError: when the kernel is unknown.

    Reference:
        R. Keys, Cubic convolution interpolation for digital image processing, 1981.
    """
    if kernel == "linear_corners":
        places = np.linspace(0, source - 1, target)
        return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(source)))
    if kernel not in KERNELS:
        raise ValueError(f"unknown kernel {kernel!r}; use one of {', '.join(KERNELS)}")
    centres = (np.arange(target) + 0.5) * (source / target) - 0.5
    if kernel == "bicubic_antialias":
        distance = (centres[:, None] - np.arange(source)) / max(source / target, 1)
        weights = _keys(distance, -0.5)
        return weights / weights.sum(axis=1, keepdims=True)
    taps = np.floor(centres).astype(int)[:, None] + np.arange(-1, 3)
    matrix = np.zeros((target, source))
    clamped = np.clip(taps, 0, source - 1)
    np.add.at(matrix, (np.arange(target)[:, None], clamped), _keys(centres[:, None] - taps, -0.75))
    return matrix


def _keys(distance: np.ndarray, a: float) -> np.ndarray:
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))
