import io

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


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory):
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")

    class LrjaxToy(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            labels = tfds.features.ClassLabel(names=["zebra", "background", "ant_eater"])
            features = tfds.features.FeaturesDict(
                {"image": tfds.features.Image(shape=(None, None, 3)), "label": labels}
            )
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, _):
            return {"test": self._generate_examples()}

        def _generate_examples(self):
            for i in range(9):
                content = io.BytesIO()
                Image.new("RGB", (7, 5 + i), (i, i % 3, 0)).save(content, "PNG")
                content.seek(0)
                yield i, {"image": content, "label": i % 3}

    root = tmp_path_factory.mktemp("tfds")
    LrjaxToy(data_dir=root, file_format="array_record").download_and_prepare()
    return root


def test_tfds_source(tfds_dir):
    source = sources.TfdsSource("lrjax_toy", "test", tfds_dir)
    rows = [source[i] for i in range(len(source))]
    assert len({row["id"] for row in rows}) == 9
    assert sorted(row["image"].getpixel((0, 0))[0] for row in rows) == list(range(9))
    for row in rows:
        red, green, _ = row["image"].getpixel((0, 0))
        assert row["image"].size == (7, 5 + red)
        assert row["label"] == green


def test_tfds_source_maps_names_and_leaves_out_other_classes(tfds_dir):
    source = sources.TfdsSource("lrjax_toy", "test", tfds_dir, classes=[("Ant Eater", "x"), ("y", "zebra")])
    assert len(source) == 6
    for row in (source[i] for i in range(6)):
        assert row["label"] == {2: 0, 0: 1}[row["image"].getpixel((0, 0))[1]]


def test_tfds_source_of_the_expected_size_is_not_searched(tfds_dir):
    source = sources.TfdsSource("lrjax_toy", "test", tfds_dir, classes=[("zebra",)], expected_count=9)
    assert len(source) == 9
    labels = []
    for i in range(9):
        if int(source.data[i]["label"]) in source.label_of:
            labels.append(source[i]["label"])
        else:
            with pytest.raises(UserError, match="none of the classes"):
                source[i]
    assert labels == [0, 0, 0]


def test_tfds_errors(tfds_dir, tmp_path):
    with pytest.raises(UserError, match="no class 'camel'"):
        sources.TfdsSource("lrjax_toy", "test", tfds_dir, classes=[("camel",)])
    with pytest.raises(UserError, match=r"split 'train'.*tfds build lrjax_toy --file_format=array_record"):
        sources.TfdsSource("lrjax_toy", "train", tfds_dir)
    with pytest.raises(UserError, match=r"tfds build dtd --file_format=array_record --data_dir="):
        sources.TfdsSource("dtd", "test", tmp_path)
    with pytest.raises(UserError, match="no data set 'no_such_set'"):
        sources.TfdsSource("no_such_set", "test", tmp_path)
