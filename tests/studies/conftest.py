import pytest

from lrjax.leaderboard.board import published_leaderboard
from lrjax.leaderboard.studies import STUDIES, run_study


@pytest.fixture(scope="session")
def published():
    return published_leaderboard()


@pytest.fixture(scope="session")
def studies(published):
    return {name: run_study(name, published) for name in STUDIES}
