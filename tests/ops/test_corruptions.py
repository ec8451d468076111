"""The corruptions by hand, and against imagecorruptions 1.1.2, the published program for images of any size."""

import colorsys

import numpy as np
import pytest

from lrjax.errors import UserError
from lrjax.ops.corruptions import CORRUPTIONS, SMALLEST_SIDE, corrupt

SEVERITIES = range(1, 6)


def picture(height=75, width=100):
    y, x = np.mgrid[:height, :width]
    return np.stack([(7 * x + 3 * y) % 256, (5 * x + 11 * y) % 256, (x * y) % 256], axis=-1).astype(np.uint8)


def smooth(height=96, width=128):
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / 17) * np.cos(y / 23), x / width - 0.5, np.sin((x + y) / 31)]
    return (128 + 80 * np.stack(waves, axis=-1)).astype(np.uint8)


def grey(value, height=64, width=64):
    return np.full((height, width, 3), value, np.uint8)


# what imagecorruptions gives for `picture()`: the mean of each channel and the pixel of row 20, column 30
PUBLISHED = {
    "brightness": (
        [[142.99, 141.97, 134.32], [154.0, 152.87, 144.5], [161.61, 160.41, 151.4], [166.65, 165.46, 155.96],
         [169.73, 168.63, 158.76]],
        [[17, 139, 107], [20, 165, 127], [23, 190, 147], [26, 216, 166], [29, 241, 186]],
    ),
    "zoom_blur": (
        [[128.84, 127.03, 123.44], [129.04, 126.99, 124.08], [129.12, 126.92, 124.32], [129.16, 126.88, 124.64],
         [129.05, 126.88, 124.96]],
        [[18, 120, 109], [21, 125, 125], [24, 130, 142], [27, 134, 149], [31, 140, 140]],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_is_not_random_equals_the_published_program(name):
    for severity, mean, pixel in zip(SEVERITIES, *PUBLISHED[name], strict=True):
        found = corrupt(picture(), name, severity=severity, seed=severity)
        np.testing.assert_allclose(found.mean(axis=(0, 1)), mean, atol=0.15)  # values are truncated
        np.testing.assert_allclose(found[20, 30].astype(int), pixel, atol=1)


# mean and standard deviation over all values of `picture()`, averaged over 40 draws of imagecorruptions; for fog, where
# one cloud moves the mean by 15, over 400
STATISTICS = {
    "impulse_noise": ([125.7, 125.8, 125.8, 126.0, 126.2], [76.5, 78.6, 80.6, 85.8, 91.8], 0.7),
    "snow": ([167.5, 193.4, 192.7, 205.3, 219.8], [65.3, 57.6, 58.3, 53.5, 44.5], 2.5),
    "fog": ([126.1, 125.5, 128.2, 126.0, 127.4], [38.4, 36.6, 37.3, 38.4, 38.5], 6.0),
}


@pytest.mark.parametrize("name", STATISTICS)
def test_what_is_random_has_the_published_statistics(name):
    means, deviations, tolerance = STATISTICS[name]
    for severity, mean, deviation in zip(SEVERITIES, means, deviations, strict=True):
        drawn = [corrupt(picture(), name, severity=severity, seed=seed) for seed in range(60)]
        assert np.mean([one.mean() for one in drawn]) == pytest.approx(mean, abs=tolerance)
        assert np.mean([one.std() for one in drawn]) == pytest.approx(deviation, abs=tolerance)


def test_brightness_by_hand():
    image = grey(0)
    image[0, :3] = [100, 50, 0], [255, 0, 0], [240, 120, 60]
    found = corrupt(image, "brightness", severity=1, seed=0)
    # the largest channel grows by 25.5 and the others by the same factor; at 255 it ends
    assert found[0, :4].tolist() == [[125, 62, 0], [255, 0, 0], [255, 127, 63], [25, 25, 25]]


def test_brightness_keeps_hue_and_saturation():
    for pixel in ([200, 130, 10], [3, 90, 90], [120, 40, 80]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(one / 255 for one in pixel))
        expected = [255 * one for one in colorsys.hsv_to_rgb(hue, saturation, min(value + 0.3, 1))]
        image = np.broadcast_to(np.array(pixel, np.uint8), (32, 32, 3))
        np.testing.assert_allclose(corrupt(image, "brightness", severity=3, seed=0)[0, 0], expected, atol=1)


def test_zoom_blur_of_a_ramp_by_hand():
    width = 101
    image = np.broadcast_to((2 * np.arange(width, dtype=np.uint8))[None, :, None], (40, width, 3))
    total = 2.0 * np.arange(width)
    for number in range(11):  # severity 5: factors 1, 1.03, ... 1.30
        factor = 1 + 0.03 * number
        kept = int(np.ceil(width / factor))
        left = (width - kept) // 2
        total += 2 * np.linspace(left, left + kept - 1, round(kept * factor))[:width]
    found = corrupt(image, "zoom_blur", severity=5, seed=0)
    np.testing.assert_allclose(found[7, :, 1], total / 12, atol=1.01)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_impulses_are_black_or_white(severity):
    found = corrupt(grey(128, 200, 200), "impulse_noise", severity=severity, seed=4)
    share = [0.03, 0.06, 0.09, 0.17, 0.27][severity - 1]
    assert set(np.unique(found)) == {0, 128, 255}
    for value in (0, 255):
        assert (found == value).mean() == pytest.approx(share / 2, abs=0.003)  # four standard errors


@pytest.mark.parametrize(("severity", "amount"), enumerate([1.5, 2.0, 2.5, 2.5, 3.0], start=1))
def test_fog_over_white_spans_its_amount(severity, amount):
    found = corrupt(grey(255), "fog", severity=severity, seed=3)
    assert found.min() == int(255 / (1 + amount))
    assert found.max() == 255


def test_fog_is_rougher_where_it_decays_slower():
    steps = [np.abs(np.diff(corrupt(grey(255), "fog", severity=s, seed=1)[..., 0].astype(int))).mean() for s in (1, 5)]
    assert steps[1] > 1.5 * steps[0]


def test_snow_falls_on_both_halves_alike():
    found = corrupt(grey(0), "snow", severity=1, seed=5)
    np.testing.assert_array_equal(found, found[::-1, ::-1])
    assert found.min() == int(255 * 0.1)  # a fifth of the white that black turns to, one half
    assert found.max() > 100


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_strongest_severity_hides_more_than_the_weakest(name):
    image = smooth()

    def likeness(severity):
        drawn = [corrupt(image, name, severity=severity, seed=i) for i in range(4)]
        return np.mean([np.corrcoef(image.ravel(), one.ravel())[0, 1] for one in drawn])

    likenesses = [likeness(severity) for severity in SEVERITIES]
    assert likenesses[-1] < likenesses[0] - 0.01
    if name in ("impulse_noise", "zoom_blur", "brightness"):  # the strengths of the others are not ordered
        assert (np.diff(likenesses) < 0).all()


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("size", [(32, 32), (33, 97), (375, 250)])
def test_any_size_and_the_seed_decides(name, size):
    image = picture(*size)
    before = image.copy()
    first, again, other = (corrupt(image, name, severity=4, seed=seed) for seed in ((7, 1), (7, 1), (7, 2)))
    np.testing.assert_array_equal(image, before)
    assert first.shape == image.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (name in ("brightness", "zoom_blur"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "rain"}, "impulse_noise, zoom_blur"),
        ({"severity": 0}, "1 to 5"),
        ({"image": grey(0, SMALLEST_SIDE - 1, 64)}, "31 x 64"),
        ({"image": grey(0)[..., 0]}, "height, width, 3"),
        ({"image": grey(0).astype(np.float32)}, "float32"),
    ],
)
def test_mistakes_are_named(change, message):
    call = {"image": grey(0), "name": "fog", "severity": 1, "seed": 0} | change
    image, name = call.pop("image"), call.pop("name")
    with pytest.raises(UserError, match=message):
        corrupt(image, name, **call)
