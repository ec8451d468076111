"""Bounding boxes from annotations and of rendered pictures, and what they leave of an image."""

import numpy as np
import pytest
from PIL import Image

import tiny
from lrjax.data.images import ImageError
from lrjax.data.procedural import ProceduralSource
from lrjax.data.regions import Boxes, RegionSource, inside_boxes, read_boxes
from lrjax.errors import UserError


def annotation(folder, name, *boxes, size=(40, 30)):
    corners = ("xmin", "ymin", "xmax", "ymax")
    objects = "".join(
        "<object><name>n1</name><bndbox>"
        + "".join(f"<{key}>{value}</{key}>" for key, value in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for box in boxes
    )
    width, height = size
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.xml"
    path.write_text(f"<annotation><filename>%s</filename>{size}{objects}</annotation>")
    return path


def test_annotations_are_read_at_any_depth(tmp_path):
    annotation(tmp_path / "val", "a", (3, 5, 20, 17), ("10.0", 10, 400, 25))
    annotation(tmp_path / "val" / "n1", "b", (30, 9, 7, 2))  # the ends have changed places
    annotation(tmp_path, "without")
    found = read_boxes(tmp_path)
    assert {name: (boxes.corners.tolist(), boxes.size) for name, boxes in found.items()} == {
        "a": ([[3, 5, 20, 17], [10, 10, 400, 25]], (30, 40)),
        "b": ([[7, 2, 30, 9]], (30, 40)),
    }


def test_the_pixels_inside_equal_pasted_boxes():
    corners = np.array([(3, 5, 20, 17), (10, 10, 400, 25), (-4, 30, 6, 33), (9, 9, 9, 40)])
    expected = Image.new("1", (60, 50))
    for left, top, right, bottom in corners[:3].tolist():
        expected.paste(1, (max(left, 0), top, min(right, 60), bottom))
    np.testing.assert_array_equal(inside_boxes(Boxes(corners, (50, 60)), 50, 60), np.asarray(expected))
    # an image of half the size: columns 1.5 to 10 and rows 2.5 to 8.5, outwards
    inside = np.argwhere(inside_boxes(Boxes(corners[:1], (50, 60)), 25, 30))
    assert (*inside.min(axis=0).tolist(), *inside.max(axis=0).tolist()) == (2, 1, 8, 9)
    assert not inside_boxes(Boxes(corners[:0], (50, 60)), 50, 60).any()


def test_foreground_and_background_complete_each_other(tmp_path):
    source = tiny.Pictures(3)
    for index in range(3):
        height, width = source[index]["image"].shape[:2]
        annotation(tmp_path, f"picture{index}", (2, 3, 9 + index, 20), size=(width, height))
    boxes = read_boxes(tmp_path)
    front, back = (RegionSource(source, region, boxes=boxes) for region in ("foreground", "background"))
    for index in range(3):
        image, inside = source[index]["image"], (slice(3, 20), slice(2, 9 + index))
        np.testing.assert_array_equal(front[index]["image"][inside], image[inside])
        assert not back[index]["image"][inside].any()
        np.testing.assert_array_equal(front[index]["image"] + back[index]["image"], image)
        assert front[index]["label"] == source[index]["label"]
        assert front[index]["image"].dtype == np.uint8


def test_an_image_without_a_box_counts_as_damaged(tmp_path):
    annotation(tmp_path, "picture1", (2, 3, 9, 20))
    source = RegionSource(tiny.Pictures(2), "foreground", boxes=read_boxes(tmp_path))
    assert len(source) == 2
    assert source[1]["id"] == "picture1"
    with pytest.raises(ImageError, match=r"image 'picture0' has no bounding box; add picture0\.xml"):
        source[0]


@pytest.mark.parametrize("name", ["shapes", "letters"])
def test_rendered_pictures_know_their_boxes(name):
    source = ProceduralSource(name, 24, seed=3)
    front = RegionSource(source, "foreground")
    for index in range(24):
        ((left, top, right, bottom),) = source[index]["boxes"].tolist()
        assert 0 <= left < right <= 224 and 0 <= top < bottom <= 224
        shown = front[index]["image"].any(axis=-1)
        assert not shown[:top].any() and not shown[:, :left].any() and not shown[bottom:].any()
    # a letter on one colour: outside of its box there is nothing else
    letter = ProceduralSource("letters", 1, seed=0)[0]
    left, top, right, bottom = letter["boxes"][0]
    outside = np.ones((224, 224), bool)
    outside[top:bottom, left:right] = False
    assert len(np.unique(letter["image"][outside], axis=0)) == 1
    assert len(np.unique(letter["image"][top], axis=0)) > 1 and len(np.unique(letter["image"][:, left], axis=0)) > 1


@pytest.mark.parametrize("name", ["textures", "scenes"])
def test_pictures_without_an_object_have_no_region(name):
    with pytest.raises(UserError, match=rf"'{name}' has no bounding boxes of its own; set config\.data\.boxes"):
        RegionSource(ProceduralSource(name, 3, seed=0), "background", name=name)


def test_the_fingerprint_knows_region_and_boxes(tmp_path):
    source = ProceduralSource("shapes", 3, seed=0)
    path = annotation(tmp_path, "a", (3, 5, 20, 17))
    first = read_boxes(tmp_path)
    path.unlink()
    annotation(tmp_path, "a", (3, 5, 20, 18))
    options = [{}, {"boxes": first}, {"boxes": read_boxes(tmp_path)}]
    found = {
        RegionSource(source, region, **one).fingerprint for one in options for region in ("foreground", "background")
    }
    assert len(found | {source.fingerprint}) == 7
    assert RegionSource(source, "foreground", boxes=dict(first)).fingerprint in found


def test_wrong_annotations_are_named(tmp_path):
    with pytest.raises(UserError, match=r"config\.data\.boxes: '.*' has no XML file with a bounding box"):
        read_boxes(tmp_path / "nowhere")
    for text in ("<annotation>", "<annotation><size><width>3</width></size></annotation>"):
        (tmp_path / "a.xml").write_text(text)
        with pytest.raises(UserError, match=r"a\.xml' is no annotation of a size and boxes"):
            read_boxes(tmp_path)
    annotation(tmp_path, "a", (1, 1, 2, 2), size=(0, 3))
    with pytest.raises(UserError, match="0 x 3 pixels"):
        read_boxes(tmp_path)
    annotation(tmp_path, "a", (1, 1, 2, 2))
    annotation(tmp_path / "more", "a", (1, 1, 2, 2))
    with pytest.raises(UserError, match=r"two annotations a\.xml"):
        read_boxes(tmp_path)
    with pytest.raises(UserError, match="region 'sky' is unknown"):
        RegionSource(tiny.Pictures(1), "sky")
