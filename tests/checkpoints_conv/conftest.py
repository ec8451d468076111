from types import SimpleNamespace

import pytest
from safetensors.torch import save_file

from lrjax.errors import UserError
from torch_reference import canonical_target, tiny_eva


@pytest.fixture(scope="session")
def eva02():
    module, sizes = tiny_eva("eva02")
    return SimpleNamespace(
        state=module.state_dict(),
        target=canonical_target(sizes),
        row=SimpleNamespace(name="Tiny-EVA02", weights="Tiny-EVA02", spec=None, resized=False),
    )


@pytest.fixture
def source(eva02, tmp_path):
    path = tmp_path / "source.safetensors"
    save_file(eva02.state, path)
    return path


@pytest.fixture
def tiny_zoo(eva02, monkeypatch):
    """Let the command line know the tiny model, and no other."""
    from lrjax.models import build, zoo

    def named(name):
        if name != "Tiny-EVA02":
            raise UserError(f"unknown backbone {name!r}")
        return [SimpleNamespace(name=name, weights=name, spec="tiny", resized=False, tokenizer="clip")]

    monkeypatch.setattr(zoo, "named", named)
    monkeypatch.setattr(build, "abstract_params", lambda spec: eva02.target)
