import pytest
from PIL import Image

from lrjax.data import sources
from lrjax.errors import UserError


def picture(path, colour=(10, 20, 30), size=(7, 5), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    picture(tmp_path / "b" / "2.png", (2, 2, 2))
    picture(tmp_path / "b" / "1.PNG", (1, 1, 1))
    picture(tmp_path / "a" / "deep" / "x.png", (0, 0, 0))
    picture(tmp_path / "a" / ".hidden.png")
    picture(tmp_path / "a" / ".cache" / "y.png")
    picture(tmp_path / ".git" / "z.png")
    (tmp_path / "a" / "notes.txt").write_text("no image")
    return tmp_path


def test_image_folder_sorted(folder):
    source = sources.ImageFolder(folder)
    assert source.classes == ("a", "b")
    rows = [source[i] for i in range(len(source))]
    assert [(row["id"], row["label"], row["image"].getpixel((0, 0))[0]) for row in rows] == [
        ("a/deep/x.png", 0, 0),
        ("b/1.PNG", 1, 1),
        ("b/2.png", 1, 2),
    ]
    assert rows[0]["image"].size == (7, 5)


def test_image_folder_labels_follow_the_given_order(folder):
    source = sources.ImageFolder(folder, ["b", "a"])
    assert [source[i]["label"] for i in range(3)] == [0, 0, 1]


def test_image_folder_nested_classes(tmp_path):
    for name in ("a/abbey", "a/airport/indoor", "b/bar"):
        picture(tmp_path / name / "1.png")
    source = sources.ImageFolder(tmp_path, ["a/abbey", "a/airport/indoor", "b/bar"])
    assert [source[i]["id"] for i in range(3)] == ["a/abbey/1.png", "a/airport/indoor/1.png", "b/bar/1.png"]


def test_image_folder_errors_name_the_culprit(folder, tmp_path_factory):
    empty = tmp_path_factory.mktemp("empty")
    for root, classes, message in [
        (folder / "none", None, "does not exist"),
        (folder / "b" / "2.png", None, "is a file"),
        (empty, None, "no class folders"),
        (folder, ["a", "b", "c"], "no class folder 'c'"),
        (folder, ["a"], "/b' is none of the 1 classes"),
    ]:
        with pytest.raises(UserError, match=message):
            sources.ImageFolder(root, classes)
    (folder / "c").mkdir()
    with pytest.raises(UserError, match="/c' holds no image"):
        sources.ImageFolder(folder)


def test_image_list(folder):
    source = sources.ImageList(folder)
    assert [source[i]["id"] for i in range(len(source))] == ["a/deep/x.png", "b/1.PNG", "b/2.png"]
    assert set(source[0]) == {"image", "id"}


def test_image_list_errors(tmp_path):
    with pytest.raises(UserError, match="holds no image"):
        sources.ImageList(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        sources.ImageList(tmp_path / "none")
