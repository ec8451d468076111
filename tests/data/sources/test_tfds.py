import dataclasses
import io
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image

from lrjax.data import sources
from lrjax.data.datasets import find_source, get_dataset
from lrjax.data.locations import open_located
from lrjax.data.sources.matching import ClassNames
from lrjax.errors import UserError


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
    source = sources.TfdsSource(
        "lrjax_toy", "test", tfds_dir, find=ClassNames("toy", [("Ant Eater", "y"), ("x", "zebra")]).find
    )
    assert len(source) == 6
    for row in (source[i] for i in range(6)):
        assert row["label"] == {2: 0, 0: 1}[row["image"].getpixel((0, 0))[1]]


def test_tfds_source_of_the_expected_size_is_not_searched(tfds_dir):
    source = sources.TfdsSource("lrjax_toy", "test", tfds_dir, find={"zebra": 0}.get, expected_count=9)
    assert len(source) == 9
    labels = []
    for i in range(9):
        if int(source.data[i]["label"]) == 0:
            labels.append(source[i]["label"])
        else:
            with pytest.raises(UserError, match="none of the classes"):
                source[i]
    assert labels == [0, 0, 0]


def test_tfds_errors(tfds_dir, tmp_path):
    with pytest.raises(UserError, match="no class 'camel'"):
        sources.TfdsSource("lrjax_toy", "test", tfds_dir, find={"camel": 0}.get, classes=["camel"])
    with pytest.raises(UserError, match=r"split 'train'.*tfds build lrjax_toy --file_format=array_record"):
        sources.TfdsSource("lrjax_toy", "train", tfds_dir)
    with pytest.raises(UserError, match=r"tfds build dtd --file_format=array_record --data_dir="):
        sources.TfdsSource("dtd", "test", tmp_path)
    with pytest.raises(UserError, match="no data set 'no_such_set'"):
        sources.TfdsSource("no_such_set", "test", tmp_path)


TOY = {"tfds": ("toy", "test"), "classes": ("zebra", "background", "ant eater"), "folders": None}


@pytest.mark.parametrize("name", ["dtd", "imagenet_v2/matched-frequency"])
def test_another_version_than_that_of_tfds(tfds_dir, tmp_path, name):
    with pytest.raises(UserError, match=rf"^TFDS data set '{name}' is not prepared in '{tmp_path}/{name}'; prepare it"):
        sources.TfdsSource(name, "test", tmp_path)
    for version in ("0.9.0", "0.10.0"):
        shutil.copytree(tfds_dir / "lrjax_toy" / "1.0.0", tmp_path / name / version)
        info = tmp_path / name / version / "dataset_info.json"
        info.write_text(info.read_text().replace('"1.0.0"', f'"{version}"'))
    message = (
        rf"^version \d\S+ of TFDS data set '{name}' is not prepared, 0.10.0 is; give (array_record:\S+) as its place"
    )
    with pytest.raises(UserError, match=message) as caught:
        sources.TfdsSource(name, "test", tmp_path)
    kind, place = re.match(message, str(caught.value))[1].split(":")
    source = open_located(dataclasses.replace(get_dataset("dtd"), **TOY), kind, Path(place))
    assert (len(source), source.source.version) == (9, "0.10.0")


@pytest.fixture(scope="module")
def several_dir(tmp_path_factory):
    """A data set with original and reassessed labels, prepared as array_record and, next to it, as tfrecord."""
    tfds = pytest.importorskip("tensorflow_datasets")
    pytest.importorskip("array_record")

    class LrjaxSeveral(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            kind = tfds.features.ClassLabel(names=["ant", "bee", "cow"])
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "original_label": kind,
                "real_label": tfds.features.Sequence(kind),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"validation": self._generate_examples()}

        def _generate_examples(self):
            for i, real in enumerate([[0, 1], [], [2], [1, 2, 0]]):
                content = io.BytesIO()
                Image.new("RGB", (4, 4), (i, 0, 0)).save(content, "PNG")
                content.seek(0)
                yield i, {"image": content, "original_label": i % 3, "real_label": real}

    root = tmp_path_factory.mktemp("several")
    LrjaxSeveral(data_dir=root, file_format="array_record").download_and_prepare()
    return root


@pytest.mark.parametrize(
    ("features", "expected"),
    [
        (("real_label",), {0: (0, 1), 2: (2,), 3: (0, 1, 2)}),
        (("original_label", "real_label"), {0: (0, 1), 1: (1,), 2: (2,), 3: (0, 1, 2)}),
        (("original_label",), {0: 0, 1: 1, 2: 2, 3: 0}),
    ],
)
def test_several_labels(several_dir, features, expected):
    source = sources.TfdsSource(several_dir / "lrjax_several", "validation", features=features)
    found = {row["image"].getpixel((0, 0))[0]: row["label"] for row in (source[i] for i in range(len(source)))}
    assert found == expected


def test_several_labels_have_fingerprints_of_their_own(several_dir):
    found = [
        sources.TfdsSource(several_dir, "validation", features=features).fingerprint
        for features in (("real_label",), ("original_label", "real_label"), ("original_label",))
    ]
    assert len(set(found)) == 3


def test_errors_of_a_prepared_folder(several_dir, tmp_path):
    with pytest.raises(UserError, match="has no feature 'label'"):
        sources.TfdsSource(several_dir, "validation")
    with pytest.raises(UserError, match="has no split 'test', only validation"):
        sources.TfdsSource(several_dir, "test")
    with pytest.raises(UserError, match=r"dataset_info.json is missing"):
        sources.TfdsSource(tmp_path, "test")


def test_tfrecord_files_need_another_preparation(several_dir, tmp_path):
    shutil.copytree(several_dir, tmp_path, dirs_exist_ok=True)
    (info,) = tmp_path.glob("*/*/dataset_info.json")
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match=r"prepared as tfrecord.*tfds build NAME --file_format=array_record"):
        sources.TfdsSource(tmp_path, "validation", features=("original_label",))


@pytest.mark.parametrize(
    ("mode", "expected"), [("replace", [(0, 1), (0, 1, 2), (2,)]), ("add", [(0, 1), (0, 1, 2), (1,), (2,)])]
)
def test_reassessed_labels_of_tfds(several_dir, mode, expected):
    dataset = dataclasses.replace(
        get_dataset("imagenet_real"),
        **{"classes": ("ant", "bee", "cow"), "folders": None, "labels": mode, "expected_count": len(expected)},
    )
    location = {"imagenet_real": f"array_record:{several_dir}"}
    source, place = find_source(dataset, sources=location)
    assert sorted(source[i]["label"] for i in range(len(source))) == expected
    assert place == f"array_record:{several_dir}"
