"""The home of the user: a shell replaces "~" only where a word begins, not in --out=~/x, NAME=~/x or folder:~/x."""

import os
import re
from collections.abc import Mapping
from typing import Any

_HOME = re.compile(r"((?:[^~/=]*=)*(?:\w+:)?)(~.*)", re.DOTALL)


def expand_home(value: Any) -> Any:
    """Returns a path, KIND:PATH or NAME=PATH with the home of the user instead of "~".

    Args:
        value: a text; of a tuple the members are expanded, of a mapping the values. Anything else stays as it is.
    """
    if isinstance(value, tuple):
        return tuple(map(expand_home, value))
    if isinstance(value, Mapping):
        return {name: expand_home(one) for name, one in value.items()}
    match = _HOME.fullmatch(value) if isinstance(value, str) else None
    return value if match is None else match[1] + os.path.expanduser(match[2])
