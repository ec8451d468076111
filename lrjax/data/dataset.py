"""What is known of a data set."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Dataset:
    """One evaluation data set.

    Args:
        name: key of the registry and name of the folder below the data root; behind a "+" what is done to the images.
        group: what the pictures are about: generic, texture, edges, fine-grained, scene, ...; one or more.
        classes: class names in the order of the labels; none where images have captions.
        templates: prompt templates with one "{}" each.
        expected_count: number of test images; None where it is not known.
        tfds: TFDS name and split; None where TFDS has no such test split.
        paper_classes: number of classes that the published robustness scores use for chance accuracy; equals
            len(classes) but for misprints kept for comparison.
        folders: names of the class folders in the original release, in the order of classes; None where they are the
            class names.
        procedural: drawn by the program instead of read from files.
        title: one line that describes it.
        hub: name on the Hugging Face hub and split; None where it is not there.
        split: split to read where neither `tfds` nor `hub` tells.
        indices: positions of the classes in those of the data set that they are taken from; None for all.
        images: data set whose images these are, with other labels; None for images of its own.
        labels: what the other labels do: "replace" or "add"; "" for images of its own.
        location: LOCATION or KIND:LOCATION of the images (or of the other labels); "" where the row does not tell.
        licence: what a user may do with it.
        get: how to get it.
        place: position among the fifteen of LR0.FM, from 1; 0 for others.
        corruption: name and severity of what is done to every image, see `lrjax.data.corrupted`; None leaves them.
        assumed: what no row says of it and its files decide, as a clause; "" where a row says all.
        captioned: whether images have captions instead of classes.
        region: what of every image is shown, see `lrjax.data.regions`; "" for all.
    """

    name: str
    group: tuple[str, ...]
    classes: tuple[str, ...]
    templates: tuple[str, ...]
    expected_count: int | None
    tfds: tuple[str, str] | None
    paper_classes: int
    folders: tuple[str, ...] | None = None
    procedural: bool = False
    title: str = ""
    hub: tuple[str, str] | None = None
    split: str = "test"
    indices: tuple[int, ...] | None = None
    images: str | None = None
    labels: str = ""
    location: str = ""
    licence: str = ""
    get: str = ""
    place: int = 0
    corruption: tuple[str, int] | None = None
    assumed: str = ""
    captioned: bool = False
    region: str = ""

    @property
    def base(self) -> str:
        """Name of the data set without what is done to its images."""
        return self.name.split("+")[0]

    @property
    def condition(self) -> dict[str, str | int]:
        """What is done to every image, as results say it."""
        corruption = dict(zip(("corruption", "severity"), self.corruption or (), strict=False))
        return corruption | ({"region": self.region} if self.region else {})
