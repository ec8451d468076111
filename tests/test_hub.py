"""Files of the hub, without a network."""

import pytest

import lrjax
from lrjax.data.hub import fetch
from lrjax.errors import UserError

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")
CLOSED = "http://127.0.0.1:9"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache, and a hub behind a port that nobody listens to."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", CLOSED)
    return tmp_path


def write(cache, repository, file):
    folder = cache / f"models--{repository.replace('/', '--')}"
    path = folder / "snapshots" / ("0" * 40) / file
    path.parent.mkdir(parents=True)
    path.write_text("content")
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0" * 40)
    return path


def test_without_a_network_one_line_and_no_second_try(cache, caplog, capfd, monkeypatch):
    download, online = huggingface_hub.hf_hub_download, []

    def recorded(*arguments, local_files_only, revision):
        online.extend([] if local_files_only else [arguments])
        return download(*arguments, local_files_only=local_files_only, revision=revision)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", recorded)
    with pytest.raises(UserError, match=f"^no connection to {CLOSED}$"):
        fetch(["org/name", "org/other"], ["one.bin", "two.bin"])
    with pytest.raises(UserError, match=r"hf-hub:timm/vit_base_patch32_clip_224.openai is neither .* \(no connection"):
        lrjax.load("ViT-B-32:openai")
    assert online == []
    assert [record for record in caplog.records if record.name.startswith("huggingface")] == []
    assert capfd.readouterr().err == ""


def test_a_cached_file_needs_no_network(cache, monkeypatch):
    monkeypatch.setattr("lrjax.data.hub.is_reachable", lambda: pytest.fail("the network was tried"))
    path = write(cache, "org/name", "one.bin")
    assert fetch(["org/name", "org/other"], ["one.bin", "two.bin"]) == path


def test_without_a_network_every_cached_file_will_do(cache):
    path = write(cache, "org/other", "two.bin")
    assert fetch(["org/name", "org/other"], ["one.bin", "two.bin"]) == path


def test_a_lost_connection_is_told_by_its_name(cache, monkeypatch):
    class ReadTimeout(Exception):
        pass

    def download(*_, local_files_only, revision):
        raise errors.LocalEntryNotFoundError("not cached") if local_files_only else ReadTimeout

    monkeypatch.setattr("lrjax.data.hub.is_reachable", lambda: True)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    with pytest.raises(UserError, match=r"^ReadTimeout$"):
        fetch(["org/name"], ["one.bin"])
