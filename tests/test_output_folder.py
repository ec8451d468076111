"""Commands replace and remove nothing but what they wrote."""

import hashlib
import json
import os

import pytest

from lrjax.errors import UserError
from lrjax.results.output_folder import LIST, check_folder, write_files


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def write(folder, **files):
    write_files({name.replace("_", "."): text for name, text in files.items()}, folder, command="report", replace=True)


def test_what_only_the_earlier_report_had_is_removed(tmp_path):
    write_files({"a.md": "1", "models/b.html": "2"}, tmp_path, command="report", replace=True)
    write_files({"c.md": "3"}, tmp_path, command="ablation")
    write(tmp_path, a_md="4")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == [LIST, "a.md", "c.md"]
    assert (tmp_path / "a.md").read_text() == "4"


@pytest.mark.parametrize(
    "listed", ["a.md", "../a.md", "/etc/hostname", "x/../../a.md", "link/a.md", "", "a\0", "folder"]
)
def test_a_planted_list_removes_nothing(tmp_path, listed):
    out = tmp_path / "out"
    (out / "folder").mkdir(parents=True)
    (tmp_path / "a.md").write_text("mine")
    (out / "a.md").write_text("mine")
    (out / "link").symlink_to(tmp_path)
    hashes = [] if listed == "a.md" else [sha256("mine")]
    (out / LIST).write_text(json.dumps({"report": {listed: hashes}}))
    write(out, b_md="1")
    assert (tmp_path / "a.md").read_text() == (out / "a.md").read_text() == "mine"
    assert (out / "folder").is_dir() and (out / "link").is_symlink()


@pytest.mark.parametrize("content", ['["a.md"]', '{"report": 3}', '{"report": {"a.md": 3}}', "[" * 10**5, "x", ""])
def test_a_list_of_another_form_lists_nothing(tmp_path, content):
    (tmp_path / LIST).write_text(content)
    (tmp_path / "a.md").write_text("mine")
    write(tmp_path, b_md="1")
    assert (tmp_path / "a.md").read_text() == "mine"
    with pytest.raises(UserError, match=r"a\.md was not written by an earlier report"):
        write(tmp_path, a_md="2")


def test_files_of_others_are_not_replaced(tmp_path):
    write(tmp_path, a_md="1", b_md="2")
    (tmp_path / "a.md").write_text("changed by hand")
    with pytest.raises(UserError, match=r"a\.md was not written by an earlier report, was changed since"):
        write(tmp_path, b_md="3", a_md="4")
    assert [(tmp_path / name).read_text() for name in ("a.md", "b.md")] == ["changed by hand", "2"]
    write(tmp_path, b_md="3")
    assert (tmp_path / "a.md").read_text() == "changed by hand"


def test_nothing_is_written_through_links(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "models").symlink_to(elsewhere)
    with pytest.raises(UserError, match=r"models is a link or a file; remove it"):
        write_files({"models/a.html": "1"}, out, command="report")
    (elsewhere / "a.md").write_text("mine")
    (out / "a.md").symlink_to(elsewhere / "a.md")
    with pytest.raises(UserError, match="behind a link"):
        write(out, a_md="1")
    assert os.listdir(elsewhere) == ["a.md"] and (elsewhere / "a.md").read_text() == "mine"


def test_an_interrupted_report_is_continued(tmp_path, monkeypatch):
    write(tmp_path, a_md="1", b_md="2", c_md="3")
    replace, left = os.replace, [3]

    def interrupted(*paths):
        left[0] -= 1
        if not left[0]:
            raise KeyboardInterrupt
        replace(*paths)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, a_md="4", b_md="5")
    monkeypatch.undo()
    assert (tmp_path / "a.md").read_text() == "4" and (tmp_path / "b.md").read_text() == "2"
    write(tmp_path, a_md="6", b_md="7")
    assert {path.name: path.read_text() for path in tmp_path.glob("*.md")} == {"a.md": "6", "b.md": "7"}


def test_a_folder_of_others_is_refused(tmp_path):
    check_folder(tmp_path / "new")
    (tmp_path / ".hidden").touch()
    check_folder(tmp_path)
    (tmp_path / "index.html").touch()
    with pytest.raises(UserError, match="is not empty and holds no report; name another directory"):
        check_folder(tmp_path)
    with pytest.raises(UserError, match="is a file; name a directory"):
        check_folder(tmp_path / "index.html")
    write(tmp_path, a_md="1")
    check_folder(tmp_path)
