import io

import numpy as np
import pytest
from PIL import Image

from lrjax.data import sources
from lrjax.data.loader import to_rgb
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


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [
        ("L", "png"),
        ("P", "gif"),
        ("RGBA", "webp"),
        ("CMYK", "jpg"),
        ("1", "bmp"),
        ("LA", "png"),
        ("RGB", "ppm"),
        ("I;16", "tif"),
    ],
)
def test_decode_equals_pillow_for_every_mode(tmp_path, mode, suffix):
    rng = np.random.default_rng(0)
    base = Image.fromarray(rng.integers(0, 256, (9, 6, 3), np.uint8))
    image = Image.fromarray(rng.integers(0, 60000, (9, 6), np.uint16)) if mode == "I;16" else base.convert(mode)
    path = tmp_path / f"x.{suffix}"
    image.save(path)
    expected = Image.open(path)
    for got in (sources.decode(path), sources.decode(path.read_bytes())):
        assert got.mode == expected.mode
        np.testing.assert_array_equal(to_rgb(got), np.asarray(expected.convert("RGB")))


def test_decode_does_not_apply_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    picture(tmp_path / "x.jpg", exif=exif)
    assert sources.decode(tmp_path / "x.jpg").size == (7, 5)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "bmp", "ppm", "tif"])
@pytest.mark.parametrize("keep", [0, 0.02, 0.5])
def test_damaged_images_raise_image_error_with_the_name(tmp_path, suffix, keep):
    rng = np.random.default_rng(0)
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])
    with pytest.raises(sources.ImageError, match=rf"x\.{suffix}") as caught:
        sources.decode(path)
    assert caught.value.name == str(path)
    assert isinstance(caught.value, UserError)


def test_decode_of_other_content_and_missing_file(tmp_path):
    (tmp_path / "x.jpg").write_text("<html>not found</html>")
    with pytest.raises(sources.ImageError, match=r"x\.jpg"):
        sources.decode(tmp_path / "x.jpg")
    with pytest.raises(sources.ImageError, match=r"none\.jpg"):
        sources.decode(tmp_path / "none.jpg")
    with pytest.raises(sources.ImageError, match="row 7"):
        sources.decode(b"", name="row 7")


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
