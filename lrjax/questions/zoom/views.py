"""The views of batches of whole images, rendered on the devices; those of large images by Pillow."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Bool, Int32, UInt8

from lrjax.data.images import host_windows
from lrjax.data.loader import Batch
from lrjax.ops.zoom import (
    WindowSpec,
    WindowTaps,
    batch_window_taps,
    render_windows,
    round_up,
    stack_window_taps,
    window_shape,
)
from lrjax.sharding import batch_sharding, put_batch
from lrjax.types import Array

Places = tuple[tuple[int, int, bool], ...]


def view_maker(
    batch: Batch, mesh: Mesh, *, sizes: Int32[np.ndarray, "B 2"], any_large: bool, workers: int
) -> Callable[..., Array]:
    """Puts the images of a batch on the mesh.

    That takes 3 bytes per pixel of the canvas, at most 3 MiB per image. Large images stay with the host, in 4 bytes per
    pixel, which resizes them for each scale anew; of them only the views are put on the mesh.

    Args:
        batch: the rows of this process, whole images.
        mesh: the devices.
        sizes: those of `Batch`, of all processes.
        any_large: whether there is a large image in any process.
        workers: threads of this process for large images.

    Returns:
        A function of lists of windows, one list or more, each with the same `places` for all its resizes; it gives
        uint8 [B, V, size, size, 3] over all processes, on the mesh, the views in the order of the windows and places.
        All processes call it together.
    """
    assert batch.images is not None
    sizes, own_sizes = (np.maximum(one, 1) for one in (sizes, batch.sizes))
    margin = round_up(int(sizes.max())) - batch.images.shape[1]
    canvas = put_batch(np.pad(batch.images, ((0, 0), (0, margin), (0, margin), (0, 0))), mesh)
    on_host = np.isin(np.arange(len(batch.mask)), list(batch.large))

    def views(*lists: Sequence[WindowSpec]) -> UInt8[Array, "B V size size 3"]:
        parts = []
        for specs in lists:
            shape = tuple(np.max([window_shape(sizes, spec) for spec in specs], axis=0).tolist())
            items = stack_window_taps([batch_window_taps(own_sizes, spec, shape=shape) for spec in specs])
            parts.append(_renderer(mesh, specs[0].size, specs[0].places)(canvas, put_batch(items, mesh)))
        if len(parts) == 1 and not any_large:
            return parts[0]
        rendered = None
        if any_large:
            count, size = sum(part.shape[1] for part in parts), parts[0].shape[2]
            host = np.zeros((len(on_host), count, size, size, 3), np.uint8)
            specs = [spec for one in lists for spec in one]

            def fill(row: int) -> None:
                host[row] = np.concatenate([host_windows(batch.large[row], spec) for spec in specs])

            with ThreadPoolExecutor(max(workers, 1)) as pool:  # Pillow resizes without Python's lock
                list(pool.map(fill, batch.large))
            rendered = put_batch((host, on_host), mesh)
        return _assembler(mesh)(parts, rendered)

    return views


@functools.cache
def _renderer(mesh: Mesh, size: int, places: Places) -> Callable[[Array, WindowTaps], Array]:
    """The jitted function that renders windows, compiled once for all data sets."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"

    def render(canvas: UInt8[Array, "B S S 3"], items: WindowTaps) -> UInt8[Array, "B V size size 3"]:
        together = 1 if on_cpu else len(canvas)
        views = render_windows(canvas, items, size=size, places=places, images_at_once=together)
        return views.reshape(len(canvas), -1, *views.shape[3:])

    # Every device loops over its own images, which a loop over the axis that is laid out over the devices would not do.
    spread = PartitionSpec("data")
    return jax.jit(jax.shard_map(render, mesh=mesh, in_specs=spread, out_specs=spread, check_vma=False))


@functools.cache
def _assembler(mesh: Mesh) -> Callable[[list[Array], tuple[Array, Array] | None], Array]:
    def assemble(
        parts: list[UInt8[Array, "B _ size size 3"]],
        rendered: tuple[UInt8[Array, "B V size size 3"], Bool[Array, "B"]] | None,
    ) -> UInt8[Array, "B V size size 3"]:
        views = jnp.concatenate(parts, axis=1)
        return views if rendered is None else jnp.where(rendered[1][:, None, None, None, None], rendered[0], views)

    return jax.jit(assemble, out_shardings=batch_sharding(mesh))
