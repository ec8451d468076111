"""What training code puts around a state dict: containers of several things, and prefixes of wrapped modules."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from lrjax.errors import UserError

WEIGHTS = (
    "state_dict",
    "model_state_dict",
    "model",
    "module",
    "clip",
    "_forward_module",
    "state_dict_ema",
    "model_ema",
    "model_ema_state_dict",
    "ema_state_dict",
    "ema_model",
    "ema",
)
"""Names under which weights lie in a container, or in front of the keys of a wrapped module."""

_INNER = re.compile(r"(?:(?<=\.)|^)(?:(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.)+")


def unwrap(content: Any, entry: str, source: object) -> tuple[Any, str]:
    """Return the innermost dictionary of weights of a container, and the entry if it has not been taken yet.

    Args:
        content: what a file holds.
        entry: name of the weights to take; "" for the only ones.
        source: the file, for messages.

    Raises:
        UserError: there are several sets of weights and none of them is chosen.
    """
    while isinstance(content, Mapping):
        if entry and isinstance(content.get(entry), Mapping):
            content, entry = content[entry], ""
            continue
        found = [name for name in WEIGHTS if _holds_weights(content.get(name))]
        if not found:
            break
        if len(found) > 1:
            raise _several(found, source)
        content = content[found[0]]
    return content, entry


def plain_names(keys: Sequence[str], entry: str, source: object) -> dict[str, str]:
    """Return the keys of a model without what wrappers put before and between them.

    Args:
        keys: the keys of a file.
        entry: name in front of the keys to take, the others are left out; "" for all.
        source: the file, for messages.

    Returns:
        {key without wrappers: key}.

    Raises:
        UserError: no key has the entry in front, or some keys are wrapped and others are not, or are so in another way.
    """
    taken = [key for key in keys if key.startswith(f"{entry}.")] if entry else list(keys)
    if not taken:
        raise UserError(f"{source} holds no weights called {entry!r}; its first keys are {', '.join(keys[:3])}")
    names = [_INNER.sub("", key.removeprefix(f"{entry}.") if entry else key) for key in taken]
    while wrappers := {name.partition(".")[0] for name in names} & set(WEIGHTS):
        prefix = f"{min(wrappers)}."
        if not all(name.startswith(prefix) for name in names):
            raise _several(sorted(wrappers), source, beside=next(n for n in names if not n.startswith(prefix)))
        names = [name.removeprefix(prefix) for name in names]
    plain = dict(zip(names, taken, strict=True))
    if len(plain) < len(taken):
        raise UserError(
            f"{source} holds several tensors of one name when its wrappers are removed; save one model alone"
        )
    return plain


def _holds_weights(value: Any) -> bool:
    """Whether there are tensors in a mapping; numbers and texts, such as those of a configuration, are none."""
    return isinstance(value, Mapping) and any(hasattr(one, "dtype") or _holds_weights(one) for one in value.values())


def _several(found: Sequence[str], source: object, beside: str = "") -> UserError:
    others = f" beside {beside!r}" if beside and len(found) == 1 else ""
    choices = " or ".join(f"{source}:{name}" for name in found)
    return UserError(f"{source} holds the weights {' and '.join(found)}{others}; choose {choices}")
