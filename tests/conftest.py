"""Eight virtual devices on every machine, an error for every broadcast between ranks, and types checked."""

import atexit
import ctypes
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Read once, when jax first asks for its devices: it has to be set before any test imports jax.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8".strip()

# Compilation takes half of the time of these tests. What one process of the session has compiled, the others find.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="lrjax-tests-")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
    atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax
import jaxtyping

# Before lrjax is imported: shapes and all other types of these modules are checked at every call. An int is a float.
CHECKED = ["metrics", "ops", "sharding"]
CHECKED += ["data.images", "data.loader", "data.regions", "leaderboard.board", "leaderboard.bootstrap"]
CHECKED += [
    "models.adaptation",
    "models.adapter",
    "models.build",
    "models.layers",
    "models.lr_tokens",
    "models.poolers",
]
CHECKED += ["models.predict", "models.prompts", "models.resnet", "models.robust_token", "models.tower", "models.towers"]
CHECKED += ["questions.classifiers", "questions.pages", "questions.retrieval", "questions.zeroshot", "questions.zoom"]
CHECKED += ["report.page_parts", "train.distill", "train.losses", "train.optim", "train.trainable"]
jaxtyping.install_import_hook(
    [f"lrjax.{module}" for module in CHECKED],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# Digests of the files of tests are no business of the user's runs.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lrjax-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

jax.config.update("jax_numpy_rank_promotion", "raise")

MOST_RESIDENT = 1.5 * 2**30
"""Bytes in memory above which what was compiled for the tests of a file is forgotten behind them."""


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """A program takes megabytes, and jax keeps all of them; glibc gives freed memory back when it is told to."""
    yield
    pages = Path("/proc/self/statm")
    if pages.exists() and int(pages.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > MOST_RESIDENT:
        jax.clear_caches()
        gc.collect()
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)


@pytest.fixture(scope="module")
def light_compilation():
    """Programs are compiled in half of the time and run slower: for tests of what is run, not of its arithmetic."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
