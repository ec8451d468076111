"""The conversion engine: the rows of a table say which checkpoint key fills which leaves, in both directions."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import ml_dtypes
import numpy as np

from checkpoints_conv.templates import find_index, first_number, is_match, make_key, stack_name
from checkpoints_conv.transforms import TRANSFORMS, Shape, Transform
from lrjax.checks.finite import LARGEST, is_usable
from lrjax.errors import UserError

Tree = Mapping[str, Any]

_LISTED = 5
_DTYPES = {"float32": np.dtype(np.float32), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@dataclass(frozen=True)
class Rule:
    """One checkpoint key and the leaves that it fills.

    Args:
        key: key template; `{i}` stands for the block index, which is the leading axis of the target leaves, and
            `{i+1}` for that index plus one, where block 0 fills other leaves.
        targets: '/'-joined leaf paths of the canonical tree. The row counts only for trees that have all of them.
        transform: name of an entry of `TRANSFORMS`, or a transform of the format's own.
        unless: a leaf path; a tree that has it is exported by other rows. Of the rows that are left the first one that
            fits is used, so another name for the same leaf that stands later in the table is read but never written.
    """

    key: str
    targets: tuple[str, ...]
    transform: str | Transform = "identity"
    unless: str | None = None


@dataclass(frozen=True)
class Drop:
    """Checkpoint keys that are left out, with the reason; in the template `*` stands for any text."""

    key: str
    reason: str


Table = tuple[Rule | Drop, ...]


class MisfitError(UserError):
    """A checkpoint whose names or shapes are not those of the model.

    Args:
        finding: what does not fit, without the remedy.
    """

    def __init__(self, finding: str):
        super().__init__(f"{finding}; name the model that the checkpoint holds, or use a complete checkpoint")
        self.finding = finding


class Reader(Protocol):
    """What the engine needs from an open checkpoint."""

    format: str

    def keys(self) -> Sequence[str]:
        """Return the key of every tensor."""
        ...

    def shape(self, key: str) -> Shape:
        """Return the shape of one tensor without reading it."""
        ...

    def read(self, key: str) -> np.ndarray:
        """Read one tensor."""
        ...


def linear_rules(key: str, target: str, *, unless: str | None = None) -> Table:
    """Return the rows of a linear layer with a bias (which trees without one ignore)."""
    return (
        Rule(f"{key}.weight", (f"{target}/kernel",), "linear", unless),
        Rule(f"{key}.bias", (f"{target}/bias",), unless=unless),
    )


def norm_rules(key: str, target: str) -> Table:
    """Return the rows of a LayerNorm, or of an RMSNorm where the tree has no bias."""
    return Rule(f"{key}.weight", (f"{target}/scale",)), Rule(f"{key}.bias", (f"{target}/bias",))


def batch_norm_rules(key: str, target: str) -> Table:
    """Return the rows of a BatchNorm, affine parameters and running statistics."""
    names = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "variance"}
    return tuple(Rule(f"{key}.{source}", (f"{target}/{leaf}",)) for source, leaf in names.items())


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

    @property
    def transform(self) -> Transform:
        return self.rule.transform if isinstance(self.rule.transform, Transform) else TRANSFORMS[self.rule.transform]


def _is_dropped(key: str, table: Table) -> bool:
    return any(isinstance(row, Drop) and is_match(row.key, key) for row in table)


def dropped(keys: Iterable[str], table: Table) -> dict[str, str]:
    """Return the keys that a table leaves out on purpose, each with the reason.

    Args:
        keys: checkpoint keys.
        table: rows of one format.

    Returns:
        {key: reason}, in the order of `keys`.
    """
    drops = [row for row in table if isinstance(row, Drop)]
    return {key: row.reason for key in keys for row in drops if is_match(row.key, key)}


def _find_steps(keys: Sequence[str], table: Table, leaves: Mapping[str, Any], model: str) -> list[_Step]:
    rules = [row for row in table if isinstance(row, Rule) and all(path in leaves for path in row.targets)]
    steps, homeless = [], []
    for key in keys:
        fitting = [_Step(key, rule, find_index(rule.key, key)) for rule in rules if is_match(rule.key, key)]
        if len(fitting) > 1:
            raise ValueError(f"table rows {[step.rule.key for step in fitting]} all match {key!r}")
        if fitting:
            steps += fitting
        elif not _is_dropped(key, table):
            homeless.append(key)
    _check_depth(steps, leaves, model)
    if homeless:
        what = "key" if len(homeless) == 1 else f"keys ({len(homeless)})"
        raise MisfitError(
            f"checkpoint {what} {_listed(homeless)} {'has' if len(homeless) == 1 else 'have'} no target in {model}"
        )
    return steps


def _check_depth(steps: Sequence[_Step], leaves: Mapping[str, Any], model: str) -> None:
    found: dict[str, int] = {}
    expected: dict[str, int] = {}
    for key, rule, index in steps:
        if index is not None:
            stack, first = stack_name(rule.key, key), first_number(rule.key) or 0
            found[stack] = max(found.get(stack, 0), first + index + 1)
            expected[stack] = first + leaves[rule.targets[0]].shape[0]
    for stack, depth in found.items():
        if depth != expected[stack]:
            raise MisfitError(f"checkpoint has {depth} blocks at {stack + '*'!r} but {model} has {expected[stack]}")


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
        stacked = template is not None and first_number(template) is not None
        for index in range(leaf.shape[0]) if stacked else [None]:
            if index not in filled[path]:
                wanted = f"looked for {make_key(template, index or 0)!r}" if template else "which no row fills"
                missing.append(f"{path}{'' if index is None else f'[{index}]'}, {wanted}")
    if missing:
        shown = "; ".join(missing[:_LISTED]) + ("; ..." if len(missing) > _LISTED else "")
        raise MisfitError(
            f"checkpoint has no value for {len(missing)} parameter{'s' * (len(missing) > 1)} of {model}: {shown}"
        )


def _check_shapes(steps: Sequence[_Step], reader: Reader, leaves: Mapping[str, Any], model: str) -> None:
    for step in steps:
        key, rule, index = step
        targets = [tuple(leaves[path].shape[index is not None :]) for path in rule.targets]
        allowed = step.transform.shapes(targets)
        found = tuple(reader.shape(key))
        if found not in allowed:
            raise MisfitError(f"checkpoint key {key!r} has shape {found} but {model} expects {allowed[0]}")


def _plan(reader: Reader, table: Table, leaves: Mapping[str, Any], model: str) -> list[_Step]:
    steps = _find_steps(reader.keys(), table, leaves, model)
    _check_filled(steps, table, leaves, model)
    _check_shapes(steps, reader, leaves, model)
    return steps


def fits(reader: Reader, table: Table, target: Tree) -> bool:
    """Tell whether a checkpoint has the names and shapes of a model; nothing is read.

    Args:
        reader: open checkpoint.
        table: rows of the checkpoint's format.
        target: as in `convert`.

    Returns:
        Whether `convert` would find a value for every leaf and a leaf for every value.
    """
    try:
        _plan(reader, table, _flatten(target), "the model")
    except UserError:
        return False
    return True


def leaf_sizes(reader: Reader, table: Table) -> dict[str, int]:
    """Return how many values a checkpoint has for each leaf that one key fills alone, whatever the model.

    Args:
        reader: open checkpoint.
        table: rows of the checkpoint's format.

    Returns:
        {leaf path: number of values}.
    """
    present = set(reader.keys())
    rules = [row for row in table if isinstance(row, Rule) and len(row.targets) == 1 and row.key in present]
    return {rule.targets[0]: math.prod(reader.shape(rule.key)) for rule in rules}


class Slice(NamedTuple):
    """A part of a leaf that one source tensor fills.

    Attributes:
        path: '/'-joined path of the leaf.
        index: index on the leading axis of the leaf; None for the whole leaf.
        values: the values, of the shape of the part up to axes of length 1; a view of the source tensor.
    """

    path: str
    index: int | None
    values: np.ndarray


def check_usable(values: np.ndarray, name: str) -> None:
    """Refuse values with which nothing can be computed.

    Args:
        values: floating point.
        name: what they are, for the message.

    Raises:
        UserError: one of them is NaN, infinite or too large.
    """
    if not is_usable(values):
        raise UserError(f"{name} holds NaN, infinite or huge numbers (beyond {LARGEST:.1e}); use an undamaged file")


def read_slices(
    reader: Reader,
    table: Table,
    target: Tree,
    *,
    model: str = "the model",
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Iterator[Slice]:
    """Read an open checkpoint tensor by tensor, as slices of the leaves of the canonical tree.

    Every check (names, depth, shapes) is made before this function returns and the first tensor is read. At most one
    source tensor is in memory, if the caller lets go of each slice before it asks for the next.

    Args:
        reader: open checkpoint.
        table: rows of the checkpoint's format.
        target: nested dictionary whose leaves have `.shape`; block leaves have a leading depth axis.
        model: name of the model, for messages.
        progress: wraps the sequence of tensors to be read, to show progress.

    Returns:
        Slices that fill every leaf exactly once.

    Raises:
        MisfitError: when a key is left over, a leaf is left empty, or a shape or the depth differs.
        UserError: when a leaf is filled twice or, during the iteration, when a tensor is not floating
            point or holds numbers that nothing can be computed with.
    """
    steps = _plan(reader, table, _flatten(target), model)

    def read() -> Iterator[Slice]:
        for step in progress(steps):
            key, rule, index = step
            source = reader.read(key)
            if source.dtype.itemsize < 2 or not (source.dtype.kind == "f" or source.dtype == _DTYPES["bfloat16"]):
                raise UserError(
                    f"checkpoint key {key!r} holds {source.dtype}, not floats of 16 bits or more; use an unquantised "
                    "checkpoint"
                )
            check_usable(source, f"checkpoint key {key!r}")
            parts = list(step.transform.split(source, len(rule.targets)))
            del source
            for path in rule.targets:
                yield Slice(path, index, parts.pop(0))

    return read()


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

    Args:
        reader: as in `read_slices`, as are `table`, `model` and `progress`.
        table: rows of the checkpoint's format.
        target: nested dictionary whose leaves have `.shape` and `.dtype`; block leaves have a leading depth axis.
        dtype: dtype of every leaf, float32 or bfloat16; None keeps the dtypes of `target`.
        model: name of the model.
        progress: wraps the sequence of tensors.

    Returns:
        The tree of `target` with numpy arrays as leaves.

    Raises:
        MisfitError: when a key is left over, a leaf is left empty, or a shape or the depth differs.
        UserError: when a leaf is filled twice or a tensor is not floating point.
    """
    slices = read_slices(reader, table, target, model=model, progress=progress)
    wanted = None if dtype is None else parse_dtype(dtype)
    filled = {path: np.empty(leaf.shape, wanted or leaf.dtype) for path, leaf in _flatten(target).items()}
    for path, index, values in slices:
        destination = filled[path] if index is None else filled[path][index, ...]
        np.copyto(destination, values.reshape(destination.shape), casting="unsafe")
        del values  # released before the next tensor is read
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
    exported = {}
    for step in _export_steps(leaves, table):
        parts = [leaves[path] if step.index is None else leaves[path][step.index] for path in step.rule.targets]
        exported[step.key] = np.asarray(step.transform.join(parts), order="C")
    return exported


def exported_shapes(tree: Tree, table: Table) -> dict[str, Shape]:
    """Return the keys that `export` would write and their shapes, without writing anything.

    Args:
        tree: nested dictionary whose leaves have a shape.
        table: rows of the format.

    Returns:
        {key: shape}.

    Raises:
        UserError: when the format has no name for a leaf.
    """
    leaves, found = _flatten(tree), {}
    for step in _export_steps(leaves, table):
        shapes = [tuple(leaves[path].shape[step.index is not None :]) for path in step.rule.targets]
        found[step.key] = step.transform.shapes(shapes)[0]
    return found


def _export_steps(leaves: Mapping[str, Any], table: Table) -> list[_Step]:
    written: set[str] = set()
    steps = []
    for rule in table:
        if not isinstance(rule, Rule) or rule.unless in leaves:
            continue
        if any(path not in leaves or path in written for path in rule.targets):
            continue
        written.update(rule.targets)
        if first_number(rule.key) is None:
            steps.append(_Step(rule.key, rule, None))
        else:
            depth = leaves[rule.targets[0]].shape[0]
            steps += [_Step(make_key(rule.key, index), rule, index) for index in range(depth)]
    left = sorted(leaves.keys() - written)
    if left:
        raise UserError(
            f"parameters {_listed(left)} ({len(left)}) have no name in this format; export to that of the source"
        )
    return steps
