"""What travels through a run together."""

from dataclasses import dataclass

from jax.sharding import Mesh

from lrjax.config import Config
from lrjax.results.store import ResultStore
from lrjax.runs.suite import Suite


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run.

    Attributes:
        config: what it does.
        suite: the questions.
        store: where results go and where finished ones are found.
        mesh: the devices.
    """

    config: Config
    suite: Suite
    store: ResultStore
    mesh: Mesh
