"""The conversion engine: the rows of a table say which checkpoint key fills which leaves, in both directions."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import ml_dtypes
import numpy as np

from lrjax.errors import UserError

Shape = tuple[int, ...]
Tree = Mapping[str, Any]

_INDEX = "{i}"
_LISTED = 5
_DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@dataclass(frozen=True)
class Rule:
    """One checkpoint key and the leaves that it fills.

    Args:
        key: key template; `{i}` stands for the block index, which is the leading axis of the target leaves.
        targets: '/'-joined leaf paths of the canonical tree. The row counts only for trees that have all of them.
        transform: name of an entry of `TRANSFORMS`.
        unless: a leaf path; a tree that has it is exported by other rows. Of the rows that are left the first one that
            fits is used, so another name for the same leaf that stands later in the table is read but never written.
    """

    key: str
    targets: tuple[str, ...]
    transform: str = "identity"
    unless: str | None = None


@dataclass(frozen=True)
class Drop:
    """Checkpoint keys (a template as in `Rule`) that are left out on purpose, with the reason."""

    key: str
    reason: str


Table = tuple[Rule | Drop, ...]


class Reader(Protocol):
    """What the engine needs from an open checkpoint."""

    def keys(self) -> Sequence[str]:
        """Return the key of every tensor."""

    def shape(self, key: str) -> Shape:
        """Return the shape of one tensor without reading it."""

    def read(self, key: str) -> np.ndarray:
        """Read one tensor."""


class Transform(NamedTuple):
    """A change of layout: `split` makes leaves of a source tensor, `join` undoes it, `shapes` lists allowed sources."""

    split: Callable[[np.ndarray, int], Sequence[np.ndarray]]
    join: Callable[[Sequence[np.ndarray]], np.ndarray]
    shapes: Callable[[Sequence[Shape]], tuple[Shape, ...]]


TRANSFORMS: dict[str, Transform] = {
    "identity": Transform(lambda x, _: [x], lambda xs: xs[0], lambda shapes: (shapes[0],)),
    # torch Linear (out, in) <-> kernel (in, out)
    "linear": Transform(lambda x, _: [x.T], lambda xs: xs[0].T, lambda shapes: (shapes[0][::-1],)),
    # fused torch Linear, rows q, k, v <-> kernels of equal size
    "split_linear": Transform(
        lambda x, parts: [part.T for part in np.split(x, parts)],
        lambda xs: np.concatenate([x.T for x in xs]),
        lambda shapes: ((sum(out for _, out in shapes), shapes[0][0]),),
    ),
    "split_vector": Transform(
        lambda x, parts: np.split(x, parts), np.concatenate, lambda shapes: ((sum(size for (size,) in shapes),),)
    ),
    # torch Conv2d (out, in, height, width) <-> kernel (height, width, in, out)
    "conv": Transform(
        lambda x, _: [x.transpose(2, 3, 1, 0)],
        lambda xs: xs[0].transpose(3, 2, 0, 1),
        lambda shapes: ((shapes[0][3], shapes[0][2], *shapes[0][:2]),),
    ),
    # (1, 1, D) <-> (D) and (1, N, D) <-> (N, D)
    "squeeze_lead": Transform(
        lambda x, _: [x],
        lambda xs: xs[0].reshape((1,) * (3 - xs[0].ndim) + xs[0].shape),
        lambda shapes: ((1,) * (3 - len(shapes[0])) + shapes[0],),
    ),
    # () or (1,) <-> (); () is written
    "scalar": Transform(lambda x, _: [x], lambda xs: xs[0], lambda shapes: (shapes[0], (1,))),
}


def linear_rules(key: str, target: str, *, unless: str | None = None) -> Table:
    """Return the rows of a linear layer with a bias (which trees without one ignore)."""
    return (
        Rule(f"{key}.weight", (f"{target}/kernel",), "linear", unless),
        Rule(f"{key}.bias", (f"{target}/bias",), unless=unless),
    )


def norm_rules(key: str, target: str) -> Table:
    """Return the rows of a LayerNorm, or of an RMSNorm where the tree has no bias."""
    return Rule(f"{key}.weight", (f"{target}/scale",)), Rule(f"{key}.bias", (f"{target}/bias",))


@cache
def _pattern(template: str) -> re.Pattern[str]:
    return re.compile("(0|[1-9][0-9]*)".join(re.escape(part) for part in template.split(_INDEX)))


def _match(template: str, key: str) -> tuple[bool, int | None]:
    found = _pattern(template).fullmatch(key)
    return found is not None, int(found[1]) if found and found.groups() else None


def _flatten(tree: Tree, prefix: str = "") -> dict[str, Any]:
    leaves = {}
    for name, value in tree.items():
        leaves |= _flatten(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def _unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, leaf in leaves.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")


class _Step(NamedTuple):
    key: str
    rule: Rule
    index: int | None


def _is_dropped(key: str, table: Table) -> bool:
    return any(isinstance(row, Drop) and _match(row.key, key)[0] for row in table)


def dropped(keys: Iterable[str], table: Table) -> dict[str, str]:
    """Return the keys that a table leaves out on purpose, each with the reason.

    Args:
        keys: checkpoint keys.
        table: rows of one format.

    Returns:
        {key: reason}, in the order of `keys`.
    """
    drops = [row for row in table if isinstance(row, Drop)]
    return {key: row.reason for key in keys for row in drops if _match(row.key, key)[0]}


def _find_steps(keys: Sequence[str], table: Table, leaves: Mapping[str, Any], model: str) -> list[_Step]:
    rules = [row for row in table if isinstance(row, Rule) and all(path in leaves for path in row.targets)]
    steps, homeless = [], []
    for key in keys:
        fitting = [_Step(key, rule, index) for rule in rules for found, index in [_match(rule.key, key)] if found]
        if len(fitting) > 1:
            raise ValueError(f"table rows {[step.rule.key for step in fitting]} all match {key!r}")
        if fitting:
            steps += fitting
        elif not _is_dropped(key, table):
            homeless.append(key)
    _check_depth(steps, leaves, model)
    if homeless:
        what = "key" if len(homeless) == 1 else f"keys ({len(homeless)})"
        raise UserError(
            f"checkpoint {what} {_listed(homeless)} {'has' if len(homeless) == 1 else 'have'} no target in {model}; "
            "name the model that this checkpoint holds"
        )
    return steps


def _check_depth(steps: Sequence[_Step], leaves: Mapping[str, Any], model: str) -> None:
    found: dict[str, int] = {}
    expected: dict[str, int] = {}
    for key, rule, index in steps:
        if index is not None:
            stack = key[: rule.key.index(_INDEX)]
            found[stack] = max(found.get(stack, 0), index + 1)
            expected[stack] = leaves[rule.targets[0]].shape[0]
    for stack, depth in found.items():
        if depth != expected[stack]:
            raise UserError(
                f"checkpoint has {depth} blocks at {stack + '*'!r} but {model} has {expected[stack]}; "
                "name the model that this checkpoint holds"
            )


def _check_filled(steps: Sequence[_Step], table: Table, leaves: Mapping[str, Any], model: str) -> None:
    filled: dict[str, dict[int | None, str]] = {path: {} for path in leaves}
    for key, rule, index in steps:
        for path in rule.targets:
            other = filled[path].setdefault(index, key)
            if other != key:
                raise UserError(
                    f"checkpoint keys {other!r} and {key!r} both fill {path} of {model}; remove one from the checkpoint"
                )
    rules = [row for row in table if isinstance(row, Rule) and row.unless not in leaves]
    templates = {path: rule.key for rule in reversed(rules) for path in rule.targets}
    missing = []
    for path, leaf in leaves.items():
        template = templates.get(path)
        stacked = template is not None and _INDEX in template
        for index in range(leaf.shape[0]) if stacked else [None]:
            if index not in filled[path]:
                wanted = f"looked for {template.replace(_INDEX, str(index))!r}" if template else "which no row fills"
                missing.append(f"{path}{'' if index is None else f'[{index}]'}, {wanted}")
    if missing:
        shown = "; ".join(missing[:_LISTED]) + ("; ..." if len(missing) > _LISTED else "")
        raise UserError(
            f"checkpoint has no value for {len(missing)} parameter{'s' * (len(missing) > 1)} of {model}: {shown}; "
            "name the model that this checkpoint holds"
        )


def _check_shapes(steps: Sequence[_Step], reader: Reader, leaves: Mapping[str, Any], model: str) -> None:
    for key, rule, index in steps:
        targets = [tuple(leaves[path].shape[index is not None :]) for path in rule.targets]
        allowed = TRANSFORMS[rule.transform].shapes(targets)
        found = tuple(reader.shape(key))
        if found not in allowed:
            raise UserError(
                f"checkpoint key {key!r} has shape {found} but {model} expects {allowed[0]}; "
                "name the model that this checkpoint holds"
            )


def convert(
    reader: Reader,
    table: Table,
    target: Tree,
    *,
    dtype: str | np.dtype | None = None,
    model: str = "the model",
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> dict[str, Any]:
    """Fill the canonical parameter tree from an open checkpoint, holding one source tensor at a time.

    Every check (names, depth, shapes) is made before the first tensor is read.

    Args:
        reader: open checkpoint.
        table: rows of the checkpoint's format.
        target: nested dictionary whose leaves have `.shape` and `.dtype`; block leaves have a leading depth axis.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.
        model: name of the model, for messages.
        progress: wraps the sequence of tensors to be read, to show progress.

    Returns:
        The tree of `target` with numpy arrays as leaves.

    Raises:
        UserError: when a key is left over, a leaf is left empty or filled twice, a shape or the depth differs, or a
            tensor is not floating point.
    """
    leaves = _flatten(target)
    steps = _find_steps(reader.keys(), table, leaves, model)
    _check_filled(steps, table, leaves, model)
    _check_shapes(steps, reader, leaves, model)
    wanted = None if dtype is None else parse_dtype(dtype)
    filled = {path: np.empty(leaf.shape, wanted or leaf.dtype) for path, leaf in leaves.items()}
    for key, rule, index in progress(steps):
        source = reader.read(key)
        if source.dtype.kind in "biuc":
            raise UserError(f"checkpoint key {key!r} holds {source.dtype}, not floats; use an unquantised one")
        for path, part in zip(rule.targets, TRANSFORMS[rule.transform].split(source, len(rule.targets)), strict=True):
            destination = filled[path] if index is None else filled[path][index, ...]
            np.copyto(destination, part.reshape(destination.shape), casting="unsafe")
        del source, part  # released before the next tensor is read
    return _unflatten(filled)


def parse_dtype(dtype: str | np.dtype) -> np.dtype:
    """Return the numpy dtype of a parameter dtype.

    Args:
        dtype: float32 or bfloat16, as a name or a dtype.

    Returns:
        The numpy dtype.

    Raises:
        UserError: for every other dtype.
    """
    name = dtype if isinstance(dtype, str) else np.dtype(dtype).name
    if name not in _DTYPES:
        raise UserError(f"parameter dtype {name!r} is not supported; use one of {', '.join(_DTYPES)}")
    return _DTYPES[name]


def export(tree: Tree, table: Table) -> dict[str, np.ndarray]:
    """Write a canonical parameter tree under the names and in the layout of a foreign format, bit for bit.

    Args:
        tree: nested dictionary of arrays.
        table: rows of the format.

    Returns:
        {key: C-contiguous array} with the dtypes of the tree.

    Raises:
        UserError: when the format has no name for a leaf.
    """
    leaves = {path: np.asarray(leaf) for path, leaf in _flatten(tree).items()}
    written: set[str] = set()
    exported: dict[str, np.ndarray] = {}
    for rule in table:
        if not isinstance(rule, Rule) or rule.unless in leaves:
            continue
        if any(path not in leaves or path in written for path in rule.targets):
            continue
        written.update(rule.targets)
        stack = [leaves[path] for path in rule.targets]
        join = TRANSFORMS[rule.transform].join
        if _INDEX in rule.key:
            for index in range(stack[0].shape[0]):
                key = rule.key.replace(_INDEX, str(index))
                exported[key] = np.asarray(join([leaf[index] for leaf in stack]), order="C")
        else:
            exported[rule.key] = np.asarray(join(stack), order="C")
    left = sorted(leaves.keys() - written)
    if left:
        raise UserError(
            f"parameters {_listed(left)} ({len(left)}) have no name in this format; export to that of the source"
        )
    return exported
