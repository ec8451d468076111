"""Device mesh and placement: arrays and parameter trees are laid out by path rules, outside the models."""

import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int64, Shaped

from lrjax.errors import UserError
from lrjax.types import Array, ArrayLike, Tree

PATIENCE = 10
"""Seconds that a process which has failed waits for the others to fail too."""

Rules = Sequence[tuple[str, PartitionSpec]]

REPLICATE: Rules = ((r".*", PartitionSpec()),)
# The sharded axis is the width of a transformer, a multiple of 128 in all rows; hidden widths such as 2730 are not.
# Norms, biases, positions and the image towers of ResNets, 1.7 GB at most, stay whole.
FSDP: Rules = (
    (r".*blocks/.*/(q|k|v|out|gate|up)/kernel", PartitionSpec(None, "data", None)),
    (r".*blocks/.*/down/kernel", PartitionSpec(None, None, "data")),
    (r"image/patch_embed/kernel", PartitionSpec(None, None, None, "data")),
    (r"image/pool/.*", PartitionSpec()),
    (r".*/down/kernel", PartitionSpec(None, "data")),
    (r".*/(q|k|v|out|up|head)/kernel", PartitionSpec("data", None)),
    (r".*/embedding", PartitionSpec(None, "data")),
    (r".*", PartitionSpec()),
)
PLACEMENTS: dict[str, Rules] = {"replicate": REPLICATE, "fsdp": FSDP}


def join_processes() -> None:
    """Makes this process one of several that hold the devices of a run together; call it before anything else of jax.

    TPU pods, Slurm, Open MPI and Kubernetes are recognised by jax. Elsewhere the environment tells every process
    `JAX_COORDINATOR_ADDRESS` (HOST:PORT of process 0), `JAX_NUM_PROCESSES` and `JAX_PROCESS_ID`.

    Raises:
        UserError: no cluster is recognised, and the environment does not say enough, or no numbers.
    """
    jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
    count, number = (os.environ.get(f"JAX_{name}") for name in ("NUM_PROCESSES", "PROCESS_ID"))
    try:
        jax.distributed.initialize(
            num_processes=None if count is None else int(count), process_id=None if number is None else int(number)
        )
    except ValueError as error:
        raise UserError(
            f"config.distributed is set, but the processes cannot be joined ({error}); start them under Slurm, Open "
            "MPI, Kubernetes or on a TPU pod, or set JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID"
        ) from error


def run_jointly(command: Callable[[], int]) -> int:
    """Runs a command; one of several processes that fails ends, and so do the others, which would wait for it in vain.

    Where all fail alike they part in good order. Where others go on, the connection to them is cut after `PATIENCE`
    seconds, at which they fail too.

    Args:
        command: returns an exit status.

    Returns:
        The exit status; a process of several does not come back with another one than 0.
    """
    try:
        status = command()
    except BaseException as error:
        if not jax.distributed.is_initialized():
            raise
        if isinstance(error, SystemExit):
            status = error.code if isinstance(error.code, int) else 1
        else:
            traceback.print_exc()
            print(
                f"process {jax.process_index()} of {jax.process_count()} failed; if another one ended before it, see "
                "what that one wrote; run the same command again in all processes to continue",
                file=sys.stderr,
            )
            status = 1
    if status and jax.distributed.is_initialized():
        parting = threading.Thread(target=jax.distributed.shutdown, daemon=True)  # it waits for the others
        parting.start()
        parting.join(PATIENCE)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    return status


def from_first(values: Shaped[np.ndarray, "*shape"]) -> Shaped[np.ndarray, "*shape"]:
    """Returns what process 0 has, in every process.

    Args:
        values: of equal shape and dtype in all processes.
    """
    return values if jax.process_count() == 1 else np.asarray(multihost_utils.broadcast_one_to_all(values))


def to_host(tree: Tree) -> Tree:
    """Returns numpy copies of arrays, in every process whole, wherever their parts are; all processes call it together.

    Args:
        tree: arrays, on one mesh.
    """

    def copy(leaf: ArrayLike | np.generic) -> np.ndarray:
        here = not isinstance(leaf, jax.Array) or leaf.is_fully_replicated or leaf.is_fully_addressable
        return np.asarray(leaf) if here else multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(copy, tree)


def make_mesh(devices: int | None = None) -> Mesh:
    """Makes the one-axis mesh "data" that batches, and with FSDP parameters, are laid out on.

    Args:
        devices: number of devices, or None for all that there are.

    Raises:
        UserError: more devices are asked for than exist, or fewer than one, or some of those of several processes.
    """
    available = jax.devices()
    count = len(available) if devices is None else devices
    if not 1 <= count <= len(available):
        platform = available[0].platform
        more = f", or XLA_FLAGS=--xla_force_host_platform_device_count={count} in the environment to cut the CPU up"
        raise UserError(
            f"{count} devices asked for but {len(available)} exist ({platform}); set config.devices to None or to a "
            f"number from 1 to {len(available)}{more if platform == 'cpu' and count > 1 else ''}"
        )
    if jax.process_count() > 1 and count < len(available):
        raise UserError(
            f"{count} devices asked for but {jax.process_count()} processes hold {len(available)} and each needs its "
            "own; set config.devices to None"
        )
    return jax.make_mesh((count,), ("data",), axis_types=(AxisType.Auto,), devices=available[:count])


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The layout of an array whose leading axis is the batch."""
    return NamedSharding(mesh, PartitionSpec("data"))


def spread_rows(x: Shaped[Array, "B *rest"]) -> Shaped[Array, "B *rest"]:
    """Pins the leading axis of x to the mesh axis "data", inside `jax.sharding.use_abstract_mesh`.

    Left alone, the compiler may keep the parts of a parameter in place and give every device the whole batch instead;
    pinned, it gathers the parameters of a block when the block is computed, as FSDP means.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if "data" not in mesh.shape or x.shape[0] % mesh.shape["data"]:
        return x
    return jax.lax.with_sharding_constraint(x, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The layout of an array that every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def own_rows(mesh: Mesh, batch_size: int) -> Int64[np.ndarray, "rows"]:
    """Returns which rows of a global batch `put_batch` takes from this process, in order.

    Args:
        mesh: the mesh.
        batch_size: rows of a global batch, a multiple of the number of devices.
    """
    parts = batch_sharding(mesh).addressable_devices_indices_map((batch_size,)).values()
    return np.sort(np.concatenate([np.arange(batch_size)[part] for part in parts]))


def put_batch(batch: Any, mesh: Mesh) -> Any:
    """Puts the rows that this process holds of every array [B, ...] on the mesh as one global array."""
    sharding = batch_sharding(mesh)
    return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch)


def partition(name: str, rules: Rules) -> PartitionSpec:
    """Returns the layout of a leaf: that of the first rule whose regular expression matches its whole path.

    Args:
        name: path of the leaf, its keys joined by "/".
        rules: pairs (regular expression, PartitionSpec).

    Raises:
        KeyError: no rule matches.
    """
    spec = next((spec for pattern, spec in rules if re.fullmatch(pattern, name)), None)
    if spec is None:
        raise KeyError(f"no sharding rule matches {name!r}")
    return spec


def tree_shardings(tree: Tree, mesh: Mesh, rules: Rules) -> Tree:
    """Returns the sharding of every leaf, as `partition` says.

    Args:
        tree: nested dictionary; the path of a leaf is its keys joined by "/".
        mesh: the mesh.
        rules: pairs (regular expression, PartitionSpec).

    Raises:
        UserError: an axis does not divide by the number of devices.
        KeyError: no rule matches.
    """

    def place(path: tuple, leaf: ArrayLike | np.generic | jax.ShapeDtypeStruct) -> NamedSharding:
        name = "/".join(str(entry.key) for entry in path)
        spec = partition(name, rules)
        for length, axis in zip(leaf.shape, spec, strict=False):
            if axis is not None and length % mesh.shape[axis]:
                raise UserError(
                    f"parameter {name!r} of shape {leaf.shape} does not divide over {mesh.shape[axis]} devices; "
                    f"use config.placement='replicate' or a number of devices that divides {length}"
                )
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(place, tree)
