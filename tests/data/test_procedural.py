"""Procedural pictures: determinism, visible facts, held-out combinations and templates."""

import pickle
import re
import sys
import zlib

import numpy as np
import pytest

from lrjax.data.procedural import (
    ATTRIBUTE_TEMPLATES,
    COLOURS,
    DATASETS,
    HELD_OUT_COMBINATIONS,
    LETTERS,
    SCENES,
    SHAPES,
    TEXTURES,
    VOCABULARIES,
    CaptionSource,
    ProceduralSource,
    Scene,
    attribute_label,
    attribute_prompts,
    caption,
    render,
    sample_scene,
)
from lrjax.data.procedural import captions as captions_module
from lrjax.data.procedural.colours import CONTRASTING, contrasting_grey, luminance, sample_colour
from lrjax.data.procedural.shapes import letter_mask, shape_mask
from lrjax.data.procedural.textures import texture_mask
from lrjax.errors import UserError


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def _normalised(text: str) -> str:
    return re.sub(r"\{\w*\}", "{}", text)


def test_data_sets_have_the_promised_groups_and_sizes():
    found = {name: (dataset.group, len(dataset.classes)) for name, dataset in DATASETS.items()}
    assert found == {
        "shapes": ("generic", 12),
        "textures": ("texture", 11),
        "letters": ("fine-grained", 12),
        "scenes": ("scene", 10),
        "colours": ("colour", 11),
        "combinations": ("attribute", 12),
    }
    assert all(len(set(dataset.classes)) == len(dataset.values) for dataset in DATASETS.values())


def test_evaluation_templates_differ_from_training_templates():
    training = {template for templates in ATTRIBUTE_TEMPLATES.values() for template in templates}
    for name in ("SHAPE_CAPTIONS", "TEXTURE_CAPTIONS", "LETTER_CAPTIONS", "SCENE_CAPTIONS"):
        for template in getattr(captions_module, name):
            training |= {_normalised(template), _normalised(re.sub(r"\{(place|guest)\}", "", template))}
    for dataset in DATASETS.values():
        assert len(set(dataset.templates)) == 3
        for template in dataset.templates:
            assert template.count("{}") == 1
            assert template not in training


@pytest.mark.parametrize("name", DATASETS)
def test_source_is_a_function_of_name_seed_and_index(name):
    source = ProceduralSource(name, 40, seed=3)
    classes = len(source.dataset.classes)
    # A second, longer, pickled source read in another order must agree.
    other = pickle.loads(pickle.dumps(ProceduralSource(name, 1000, seed=3)))
    for index in (17, 2, 0):
        first, second = source[index], other[index]
        assert first["image"].shape == (224, 224, 3) and first["image"].dtype == np.uint8
        np.testing.assert_array_equal(first["image"], second["image"])
        assert first["label"] == index % classes
        assert first["id"] == f"{name}/3/{index:06d}"
    assert len(source) == 40
    assert not np.array_equal(source[0]["image"], source[classes]["image"])
    assert not np.array_equal(source[0]["image"], ProceduralSource(name, 40, seed=4)[0]["image"])
    assert [len(list(source)), len(list(source))] == [40, 40]


def test_caption_source_is_deterministic_and_never_shares_a_stream():
    source = CaptionSource(50, seed=3)
    first, second = source[7], CaptionSource(999, seed=3)[7]
    np.testing.assert_array_equal(first["image"], second["image"])
    assert (first["caption"], first["scene"], first["id"]) == (second["caption"], second["scene"], "captions/3/000007")
    assert zlib.crc32(b"evaluation") != zlib.crc32(b"captions")
    with pytest.raises(IndexError):
        source[50]
    with pytest.raises(IndexError):
        source[-1]


def test_default_captions_are_those_of_every_earlier_version():
    source = CaptionSource(50, seed=3)
    assert source.fingerprint == "procedural:1:captions:3:50"
    assert "label" not in source[7]
    assert source[7]["caption"] == "a black diamond"


def test_several_images_of_a_caption_share_its_facts_only():
    source, more = CaptionSource(12, seed=3, images_per_caption=3), CaptionSource(25, seed=3, images_per_caption=5)
    rows = [source[index] for index in range(len(source))]
    assert [row["label"] for row in rows] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    facts = [(row["caption"], row["scene"]) for row in rows]
    assert facts[::3] == facts[1::3] == facts[2::3]
    assert len(set(facts)) == 4
    assert len({row["image"].tobytes() for row in rows}) == len({row["id"] for row in rows}) == 12
    # The first images of a caption stay the same when there are more of each.
    for index, longer in ((4, 6), (11, 17)):
        np.testing.assert_array_equal(rows[index]["image"], more[longer]["image"])
        assert rows[index]["id"] == more[longer]["id"]
    assert source.fingerprint == "procedural:1:captions:3:12:3"
    with pytest.raises(UserError, match=r"10 pictures are not 4 of each caption.*config\.train\.count to 8 or 12"):
        CaptionSource(10, seed=3, images_per_caption=4)
    with pytest.raises(UserError, match=r"config\.train\.count to 4$"):
        CaptionSource(3, seed=3, images_per_caption=4)


def test_training_never_shows_a_held_out_combination_but_every_value():
    rng = _rng(1)
    scenes = [sample_scene(rng) for _ in range(6000)]
    pairs = {(scene.colour, scene.shape) for scene in scenes if scene.shape is not None}
    assert not pairs & set(HELD_OUT_COMBINATIONS)
    # 11 x 12 pairs, 12 of them held out: all the others occur.
    assert len(pairs) == 11 * 12 - 12
    for attribute, vocabulary in VOCABULARIES.items():
        assert {getattr(scene, attribute) for scene in scenes} - {None} == set(vocabulary)
    assert {scene.kind for scene in scenes} == {"shape", "texture", "letter", "scene"}


def test_held_out_combinations_cover_shapes_once_and_all_colours():
    assert sorted(shape for _, shape in HELD_OUT_COMBINATIONS) == sorted(SHAPES)
    assert {colour for colour, _ in HELD_OUT_COMBINATIONS} == set(COLOURS)
    assert DATASETS["combinations"].classes[3] == "red star"
    assert sample_scene(_rng(), kind="shape", colour="red", shape="star").colour == "red"


def test_fixed_attributes_are_kept_and_none_forbids():
    rng = _rng(2)
    for _ in range(200):
        scene = sample_scene(rng, shape="star", texture=None, scene=None)
        assert (scene.kind, scene.shape, scene.texture, scene.scene) == ("shape", "star", None, None)
        assert sample_scene(rng, letter="K").kind == "letter"
        assert sample_scene(rng, kind="scene", shape=None).colour is None
        bricks = sample_scene(rng, texture="bricks", second_colour="white")
        assert bricks.kind in ("shape", "texture") and bricks.second_colour == "white" and bricks.scene is None
        assert "white" in CONTRASTING[bricks.colour]


@pytest.mark.parametrize(
    ("arguments", "culprit"),
    [
        ({"kind": "video"}, "video"),
        ({"colour": "mauve"}, "mauve"),
        ({"size": "large"}, "size"),
        ({"kind": "letter", "shape": "star"}, "star"),
        ({"kind": "shape", "scene": "beach", "texture": "bricks"}, "texture"),
        ({"kind": "scene", "shape": "star", "colour": None}, "star"),
    ],
)
def test_impossible_pictures_raise(arguments, culprit):
    with pytest.raises(UserError, match=culprit):
        sample_scene(_rng(), **arguments)


def test_bad_sources_and_attributes_raise():
    with pytest.raises(UserError, match="flowers"):
        ProceduralSource("flowers", 10, seed=0)
    with pytest.raises(UserError, match="-1"):
        ProceduralSource("shapes", 10, seed=-1)
    with pytest.raises(UserError, match="0 pictures"):
        CaptionSource(0, seed=0)
    with pytest.raises(UserError, match="mood"):
        attribute_prompts("mood", _rng())


def test_labels_are_indices_or_minus_one():
    shape = Scene("shape", shape="star", colour="red", second_colour="white")
    assert [attribute_label(shape, name) for name in ("shape", "colour", "texture", "letter", "scene")] == [
        3,
        0,
        -1,
        -1,
        -1,
    ]
    # Both colours of a texture are equally visible, so that it has no one colour.
    assert attribute_label(Scene("texture", texture="bricks", colour="red", second_colour="white"), "colour") == -1
    assert attribute_label(Scene("scene", scene="ocean"), "scene") == 9


@pytest.mark.parametrize("attribute", VOCABULARIES)
def test_attribute_prompts_share_one_training_template(attribute):
    seen = set()
    for seed in range(60):
        prompts = attribute_prompts(attribute, _rng(seed))
        assert len(set(prompts)) == len(VOCABULARIES[attribute])
        assert all(value in prompt for value, prompt in zip(VOCABULARIES[attribute], prompts, strict=True))
        assert not any(re.search(r"\ba [aeio]", prompt) for prompt in prompts)
        seen.add(prompts[0])
    assert len(ATTRIBUTE_TEMPLATES[attribute]) >= 6 and len(seen) >= 6


def test_captions_state_only_facts():
    rng = _rng(5)
    # Longest first, so that "grid lines" or "night sky" is not read as a part of itself.
    vocabulary = {word: key for key, words in VOCABULARIES.items() if key != "letter" for word in words}
    for _ in range(1500):
        scene = sample_scene(rng)
        text = caption(scene, rng)
        facts = {scene.shape, scene.texture, scene.scene, scene.colour, scene.second_colour}
        rest = text
        for word in sorted(vocabulary, key=len, reverse=True):
            if re.search(rf"\b{word}\b", rest):
                assert word in facts, (text, scene)
                rest = rest.replace(word, "")
        capitals = set(re.findall(r"\b[A-Z]\b", text))
        assert capitals == ({scene.letter} if scene.letter else set())
        assert "None" not in text and not re.search(r"\ba [aeio]|  |^ | $", text)


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_are_large_inside_the_picture_and_not_clipped(name):
    for seed in range(8):
        fill, line = shape_mask(name, _rng(seed), extent=(0.45, 0.70), jitter=0.10, outline=6)
        mask = np.asarray(fill)
        rows, columns = np.nonzero(mask.max(axis=1))[0], np.nonzero(mask.max(axis=0))[0]
        # The larger side, rotated by up to 12 degrees: cos(12 deg) * 0.45 to (cos + sin)(12 deg) * 0.70.
        assert 0.43 * 224 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 0.84 * 224
        union = np.maximum(mask, np.asarray(line))
        assert union[[0, -1]].max() == 0 and union[:, [0, -1]].max() == 0


def test_circle_has_the_area_of_a_circle():
    fill, _ = shape_mask("circle", _rng(), extent=(0.5, 0.5), jitter=0.0, outline=2)
    # pi / 4 * (0.5 * 224)^2 = 9852 pixels; a polygon of 64 sides and the supersampled edge stay within 2 %.
    assert np.asarray(fill).sum() / 255 == pytest.approx(9852, rel=0.02)


@pytest.mark.parametrize("letter", LETTERS)
def test_letters_are_large_and_not_clipped(letter):
    for seed in range(12):
        mask = np.asarray(letter_mask(letter, _rng(seed)))
        rows = np.nonzero(mask.max(axis=1) > 127)[0]
        assert 0.40 * 224 <= np.ptp(rows) + 1 <= 0.90 * 224
        assert mask[[0, -1]].max() == 0 and mask[:, [0, -1]].max() == 0


def test_stripes_run_along_their_name():
    horizontal = np.asarray(texture_mask("horizontal stripes", _rng(1)), np.float64)
    vertical = np.asarray(texture_mask("vertical stripes", _rng(1)), np.float64)
    assert np.abs(np.diff(horizontal, axis=0)).mean() > 3 * np.abs(np.diff(horizontal, axis=1)).mean()
    assert np.abs(np.diff(vertical, axis=1)).mean() > 3 * np.abs(np.diff(vertical, axis=0)).mean()


@pytest.mark.parametrize("name", TEXTURES)
def test_texture_periods_are_finer_than_two_low_resolution_pixels(name):
    for seed in range(4):
        mask = np.asarray(texture_mask(name, _rng(seed)), np.float64)
        assert 0.1 < (mask / 255).mean() < 0.9
        # Means over 28 x 28 blocks (two pixels of a 16-pixel picture) lose most of the contrast.
        blocks = mask.reshape(8, 28, 8, 28).mean(axis=(1, 3))
        assert blocks.std() < 0.35 * mask.std()


def test_foreground_and_background_differ():
    rng = _rng(3)
    for colour in COLOURS:
        assert len(CONTRASTING[colour]) >= 5
        for other in CONTRASTING[colour]:
            assert colour in CONTRASTING[other]
            for _ in range(10):
                a, b = np.array(sample_colour(colour, rng)), np.array(sample_colour(other, rng))
                assert np.linalg.norm(a - b) > 80
        for _ in range(10):
            rgb = sample_colour(colour, rng)
            grey = contrasting_grey(rgb, rng)
            assert abs(luminance(grey) - luminance(rgb)) > 40
            assert 90 <= grey[0] <= 180


def test_a_plain_shape_has_its_two_colours_only():
    image = render(Scene("shape", shape="square", colour="red", second_colour="white"), _rng(4)).reshape(-1, 3)
    reddish = (image[:, 0] > 180) & (image[:, 1] < 60) & (image[:, 2] < 60)
    whitish = image.min(axis=1) > 235
    # A side of 0.45..0.70 of the picture covers 0.2..0.49 of it.
    assert 0.19 < reddish.mean() < 0.5
    assert (reddish | whitish).mean() > 0.97


@pytest.mark.parametrize("name", SCENES)
def test_scenes_hold_fine_detail_and_vary(name):
    first, second = (render(Scene("scene", scene=name), _rng(seed)).astype(np.float64) for seed in (1, 2))
    assert np.abs(first - second).mean() > 4
    grey = first.mean(axis=2)
    smooth = grey.reshape(16, 14, 16, 14).mean(axis=(1, 3)).repeat(14, axis=0).repeat(14, axis=1)
    assert np.abs(grey - smooth).max() > 25


def test_missing_fonts_name_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for source in (lambda: ProceduralSource("letters", 12, seed=0), lambda: CaptionSource(12, seed=0)):
        with pytest.raises(UserError, match="pip install matplotlib"):
            source()
    assert len(ProceduralSource("shapes", 12, seed=0)) == 12
