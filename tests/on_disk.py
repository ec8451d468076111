"""The same pictures on disk in every kind of source, for the data set eurosat."""

import csv
import gzip
import io
import json
import tarfile

import numpy as np
from PIL import Image

from lrjax.data.datasets import get_dataset

DATASET = get_dataset("eurosat")
NAMES = [f"{folder}/{number}" for folder in DATASET.folders for number in range(2)]
COOP = (
    *("Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road", "Industrial Buildings"),
    *("Pasture Land", "Permanent Crop Land", "Residential Buildings", "River", "Sea or Lake"),
)
LABELS = [label for label in range(10) for _ in range(2)]


def pixels(name):
    height, width = 5 + len(name) % 4, 6
    return np.random.default_rng(list(name.encode())).integers(0, 256, (height, width, 3), np.uint8)


def png(name):
    content = io.BytesIO()
    Image.fromarray(pixels(name)).save(content, "PNG")
    return content.getvalue()


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_images(root):
    for name in NAMES:
        write(root / f"{name}.png", png(name))


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def folder(root):
    write_images(root / "eurosat")


def split(root):
    """As CoOp lays it out: names of its own, an inner folder of images, other parts in the same file."""
    write_images(root / "eurosat" / "2750")
    rows = [[f"{name}.png", label, COOP[label]] for name, label in zip(NAMES, LABELS, strict=True)]
    content = {"train": [["Highway/9.png", 3, COOP[3]]], "val": [], "test": rows[::-1]}
    write(root / "eurosat" / "split_zhou_EuroSAT.json", json.dumps(content))


def metadata(root):
    write_images(root / "eurosat" / "pictures")
    rows = [
        json.dumps({"file_name": f"pictures/{name}.png", "label": DATASET.classes[label]})
        for name, label in zip(NAMES, LABELS, strict=True)
    ]
    write(root / "eurosat" / "metadata.jsonl", "\n".join(rows) + "\n")


def metadata_csv(root):
    write_images(root / "eurosat")
    rows = [f"{name}.png,{label}" for name, label in zip(NAMES, LABELS, strict=True)]
    write(root / "eurosat" / "metadata.csv", "\n".join(["file_name,label", *rows]) + "\n")


def webdataset(root):
    """Two shards, labels as numbers in one and the rest in JSON."""
    samples = [
        [(f"{name}.png", png(name)), (f"{name}.cls", str(label).encode())]
        if label < 5
        else [(f"{name}.json", json.dumps({"label": label, "width": 6}).encode()), (f"{name}.png", png(name))]
        for name, label in zip(NAMES, LABELS, strict=True)
    ]
    for shard in range(2):
        files = [file for sample in samples[shard::2] for file in sample]
        write_tar(root / "eurosat" / f"{shard}.tar", files)


def webdataset_names(root):
    """Numbers in another order than that of the data set, with the names that tell."""
    names = DATASET.classes[::-1]
    files = [
        file
        for name, label in zip(NAMES, LABELS, strict=True)
        for file in [(f"{name}.cls", str(9 - label).encode()), (f"{name}.png", png(name))]
    ]
    write_tar(root / "eurosat" / "test" / "0.tar", files)
    write(root / "eurosat" / "classnames.txt", "\n".join(names))


def tar(root):
    """An archive of class folders."""
    write_tar(root / "eurosat.tar", [(f"./EuroSAT/{name}.png", png(name)) for name in NAMES[::-1]])


def parquet(root):
    """Two files, row groups of three, class names in the schema in another order than that of the data set."""
    import pyarrow as pa
    from pyarrow import parquet as pq

    feature = {"names": list(DATASET.classes[::-1]), "_type": "ClassLabel"}
    info = json.dumps({"info": {"features": {"image": {"_type": "Image"}, "label": feature}}})
    (root / "eurosat" / "data").mkdir(parents=True)
    for number, part in enumerate((slice(0, 7), slice(7, None))):
        rows = {
            "image": [{"bytes": png(name), "path": f"{name}.png"} for name in NAMES[part]],
            "label": [9 - label for label in LABELS[part]],
        }
        table = pa.table(rows).replace_schema_metadata({"huggingface": info})
        pq.write_table(table, root / "eurosat" / "data" / f"test-{number:05d}-of-00002.parquet", row_group_size=3)
    train = pa.table({"image": [{"bytes": b"", "path": "x"}], "label": [0]})
    pq.write_table(train, root / "eurosat" / "data" / "train-00000-of-00001.parquet")


def array_record(root):
    import tensorflow_datasets as tfds

    class LrjaxEurosat(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("2.0.0")

        def _info(self):
            image = tfds.features.Image(shape=(None, None, 3))
            labels = tfds.features.ClassLabel(names=sorted(DATASET.folders, reverse=True))
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict({"image": image, "label": labels})
            )

        def _split_generators(self, _):
            return {"test": self._generate_examples()}

        def _generate_examples(self):
            for name in NAMES:
                yield name, {"image": io.BytesIO(png(name)), "label": name.split("/")[0]}

    LrjaxEurosat(data_dir=root / "prepared", file_format="array_record").download_and_prepare()
    (root / "prepared" / "lrjax_eurosat").rename(root / "eurosat")


def own_rows(classes, spelled):
    """One picture of each class, as (path, label in the reverse order, name), and the names in that order."""
    names = [spelled(name) for name in classes]
    rows = [(f"{label}.png", len(names) - 1 - label, name) for label, name in enumerate(names)]
    return rows, names[::-1]


def own_metadata(root, rows, names):
    write(root / "metadata.jsonl", "\n".join(json.dumps({"file_name": path, "label": name}) for path, _, name in rows))


def own_csv(root, rows, names):
    with (root / "metadata.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file_name", "label"), *((path, name) for path, _, name in rows)])


def own_split(root, rows, names):
    write(root / "split_own.json", json.dumps({"test": rows}))


def own_folder(root, rows, names):
    for path, _, name in rows:
        (root / name).mkdir()
        (root / path).rename(root / name / path)


def own_shard(suffix, *, numbers):
    def write_shard(root, rows, names):
        files = [(path, (root / path).read_bytes()) for path, _, _ in rows]
        for path, number, name in rows:
            label = number if numbers else name
            text = json.dumps({"label": label}) if suffix == ".json" else str(label)
            files.append((path.replace(".png", suffix), text.encode()))
        write_tar(root / "0.tar", files)
        if numbers:
            write(root / "classnames.txt", "\n".join(names) + "\n")

    return write_shard


def own_tar(root, rows, names):
    write_tar(root / "0.tar", [(f"set/{name}/{path}", (root / path).read_bytes()) for path, _, name in rows])


def own_parquet(*, numbers):
    def write_parquet(root, rows, names):
        import pyarrow as pa
        from pyarrow import parquet as pq

        images = [{"bytes": (root / path).read_bytes(), "path": path} for path, _, _ in rows]
        labels = [number if numbers else name for _, number, name in rows]
        table = pa.table({"image": images, "label": labels})
        if numbers:
            info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
            table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
        pq.write_table(table, root / "test.parquet")

    return write_parquet


def own_array_record(root, rows, names):
    import tensorflow_datasets as tfds

    class LrjaxOwn(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "image": tfds.features.Image(shape=(None, None, 3)),
                "label": tfds.features.ClassLabel(names=names),
            }
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, _):
            return {"test": self._generate_examples()}

        def _generate_examples(self):
            for path, number, _ in rows:
                yield path, {"image": io.BytesIO((root / path).read_bytes()), "label": number}

    LrjaxOwn(data_dir=root, file_format="array_record").download_and_prepare()


OWN = {
    "folder": own_folder,
    "split": own_split,
    "metadata": own_metadata,
    "csv": own_csv,
    "cls": own_shard(".cls", numbers=False),
    "json": own_shard(".json", numbers=False),
    "cls_numbers": own_shard(".cls", numbers=True),
    "json_numbers": own_shard(".json", numbers=True),
    "tar": own_tar,
    "parquet": own_parquet(numbers=True),
    "parquet_texts": own_parquet(numbers=False),
    "array_record": own_array_record,
}
"""Writers of data sets of one's own, whose files have the names of the classes in the reverse order."""


def own(root, kind, classes, spelled=str):
    """Writes a data set with one picture per class, `pixels(str(label))`, and returns the path of its row."""
    for label in range(len(classes)):
        write(root / "images" / f"{label}.png", png(str(label)))
    OWN[kind](root / "images", *own_rows(classes, spelled))
    row = {"classes": list(classes), "templates": ["a {}"], "path": "images"}
    return str(write(root / "own.json", json.dumps(row)))


def write_idx(root, images, labels, *, prefix="t10k"):
    for name, array in (("images-idx3", images), ("labels-idx1", labels)):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        content = header + array.astype(np.uint8).tobytes()
        compressed = name == "images-idx3"
        write(
            root / f"{prefix}-{name}-ubyte{'.gz' if compressed else ''}",
            gzip.compress(content) if compressed else content,
        )


KINDS = {
    "folder": folder,
    "split": split,
    "metadata": metadata,
    "metadata_csv": metadata_csv,
    "webdataset": webdataset,
    "webdataset_names": webdataset_names,
    "tar": tar,
    "parquet": parquet,
    "array_record": array_record,
}
