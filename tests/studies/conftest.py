import pytest

from lrjax.leaderboard import published_leaderboard
from lrjax.studies import STUDIES, run_study


@pytest.fixture(scope="session")
def published():
    return published_leaderboard()


@pytest.fixture(scope="session")
def studies(published):
    return {name: run_study(name, published) for name in STUDIES}
