"""TensorFlow Datasets prepared as array_record, read without TensorFlow."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lrjax.data.images import decode
from lrjax.data.source import Label, Source
from lrjax.data.sources.base import content_fingerprint
from lrjax.errors import UserError

INFO = "dataset_info.json"


class TfdsSource(Source):
    """A split of TensorFlow Datasets that was prepared as array_record, read and decoded without TensorFlow.

    Args:
        name: TFDS name with an optional config, such as "imagenet_v2/matched-frequency", or the `Path` of a prepared
            folder, the one with dataset_info.json or one above it.
        split: TFDS split, such as "test".
        data_dir: where a named data set was prepared; None for the TFDS default.
        find: the label of a class by its TFDS name, None for one that is no class; images of such are left out. None
            keeps the labels of TFDS.
        features: the features that hold labels; with several, or one that is a list, the label is the tuple of all its
            classes, and images without any are left out.
        classes: names of the classes that `find` must give, in the order of the labels.
        expected_count: number of images of the classes; a split of just this size is not searched for other classes,
            which reads every record.

    Raises:
        UserError: tensorflow-datasets is not installed, or the data was not prepared, not as array_record, or lacks one
            of the classes, the split or a feature.
    """

    def __init__(
        self,
        name: str | Path,
        split: str,
        data_dir: str | os.PathLike | None = None,
        *,
        find: Callable[[str], int | None] | None = None,
        features: Sequence[str] = ("label",),
        classes: Sequence[str] = (),
        expected_count: int | None = None,
    ):
        self.split, self.features = split, tuple(features)
        self.data, info = _data(name, split, data_dir)
        self.name, self.version = info.full_name.removesuffix(f"/{info.version}"), str(info.version)
        self.files = list(dict.fromkeys(Path(one.filename) for one in info.splits[split].file_instructions))
        kinds = []
        for feature in ("image", *features):
            if feature not in info.features:
                raise UserError(f"TFDS data set '{self.name}' has no feature '{feature}'; use another kind of data")
            kinds.append(info.features[feature])
        self.several = len(features) > 1 or hasattr(kinds[1], "feature")
        names = [getattr(kind, "feature", kind).names for kind in kinds[1:]]
        self.names = tuple(names[0])
        self.label_of = {number: number for number in range(len(self.names))}
        if find is not None:
            found = {number: find(one) for number, one in enumerate(self.names)}
            self.label_of = {number: label for number, label in found.items() if label is not None}
            first: dict[int, int] = {}
            for number, label in self.label_of.items():
                if first.setdefault(label, number) != number:
                    raise UserError(
                        f"classes '{self.names[first[label]]}' and '{self.names[number]}' of TFDS data set "
                        f"'{self.name}' are one class here; use a folder of images instead"
                    )
            if missing := [one for label, one in enumerate(classes) if label not in self.label_of.values()]:
                raise UserError(
                    f"TFDS data set '{self.name}' has no class '{missing[0]}'; use a folder of images instead"
                )
        self.indices: Sequence[int] = range(len(self.data))
        if (self.several or len(self.label_of) < len(self.names)) and len(self.data) != expected_count:
            self.indices = [i for i in self.indices if self._label(self._record(i)) not in (None, ())]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        row = self.indices[index]
        example, name = self._record(row), f"{self.name}/{self.split}/{row}"
        label = self._label(example)
        if label in (None, ()):
            raise UserError(f"image '{name}' is of none of the classes; prepare TFDS data set '{self.name}' again")
        return {"image": decode(example["image"], name=name), "label": label, "id": name}

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hash of name, version, split, features and labels, and of the content of the files of the split."""
        labels = sorted(self.label_of.items())
        return content_fingerprint([(self.name, self.version, self.split), self.features, labels], self.files)

    def _record(self, row: int) -> Mapping[str, Any]:
        try:
            record = self.data[row]
        except Exception as error:  # array_record and protobuf raise many types for files that are gone or damaged
            raise self._unreadable(row, error) from error
        if any(record.get(feature) is None for feature in ("image", *self.features)):
            raise self._unreadable(row, "it is cut off or damaged")
        return record

    def _unreadable(self, row: int, cause: object) -> UserError:
        return UserError(
            f"record {row} of split '{self.split}' of TFDS data set '{self.name}' cannot be read ({cause}); bring its "
            "files back, or prepare it again"
        )

    def _label(self, example: Mapping[str, Any]) -> Label | None:
        if not self.several:
            return self.label_of.get(int(example[self.features[0]]))
        found = {int(one) for feature in self.features for one in _flat(example[feature])}
        return tuple(sorted(self.label_of[one] for one in found if one in self.label_of))


def prepared_folder(path: Path) -> Path | None:
    """Returns the folder of a prepared TFDS data set at or below a path, the newest version; None if there is none."""
    found = [info.parent for pattern in (INFO, f"*/{INFO}", f"*/*/{INFO}") for info in path.glob(pattern)]
    return _newest(found)


def _newest(folders: Sequence[Path]) -> Path | None:
    return max(
        folders, key=lambda one: [int(part) if part.isdigit() else 0 for part in one.name.split(".")], default=None
    )


def _flat(value: Any) -> Sequence[Any]:
    return [value] if getattr(value, "ndim", 0) == 0 and not isinstance(value, (list, tuple)) else value


def _data(name: str | Path, split: str, data_dir: str | os.PathLike | None) -> tuple[Any, Any]:
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise UserError(
            f"data set '{name}' needs tensorflow-datasets; install it with: pip install tensorflow-datasets "
            "array_record importlib_resources"
        ) from error
    if isinstance(name, Path):
        folder = prepared_folder(name)
        if folder is None:
            raise UserError(f"'{name}' holds no data set prepared by TFDS ({INFO} is missing); correct the location")
        remedy = "prepare it again with: tfds build NAME --file_format=array_record"
    else:
        remedy = f"prepare it with: tfds build {name} --file_format=array_record"
        remedy += "" if data_dir is None else f" --data_dir={data_dir}"
    try:
        builder = (
            tfds.builder_from_directory(folder) if isinstance(name, Path) else tfds.builder(name, data_dir=data_dir)
        )
        _check_version(builder, name, remedy)
        if builder.info.splits and split.partition("[")[0] not in builder.info.splits:
            known = ", ".join(builder.info.splits)
            raise UserError(f"TFDS data set '{name}' has no split '{split}', only {known}; {remedy}")
        decoders = {"image": tfds.decode.SkipDecoding()}
        # A decorator of TFDS hides the parameters.
        data = builder.as_data_source(split, decoders=decoders)  # pyright: ignore[reportCallIssue]
    except UserError:
        raise
    except tfds.core.DatasetNotFoundError as error:
        raise UserError(f"TFDS has no data set '{name}'; correct its name or give a folder of images") from error
    except NotImplementedError as error:
        raise UserError(
            f"data set '{name}' is prepared as {_format(builder)}, which only TensorFlow reads; {remedy} "
            "(in another data_dir, or after removing the old files)"
        ) from error
    except Exception as error:  # TFDS raises a different type for each way of not being prepared
        cause = str(error).strip().splitlines()
        raise UserError(
            f"split '{split}' of data set '{name}' cannot be read "
            f"({cause[0] if cause else type(error).__name__}); {remedy}"
        ) from error
    return data, builder.info


def _check_version(builder: Any, name: str | Path, remedy: str) -> None:
    """Refuses a version that is not prepared, which TFDS takes for one that is prepared as tfrecord."""
    versions = Path(builder.data_path).parent
    if Path(builder.data_path, INFO).exists():
        return
    other = _newest([info.parent for info in versions.glob(f"*/{INFO}")])
    if other is None:
        raise UserError(f"TFDS data set '{name}' is not prepared in '{versions}'; {remedy}")
    raise UserError(
        f"version {builder.version} of TFDS data set '{name}' is not prepared, {other.name} is; give "
        f"array_record:{other} as its place in config.data.sources, or {remedy}"
    )


def _format(builder: Any) -> str:
    return str(getattr(builder.info.file_format, "value", builder.info.file_format))
