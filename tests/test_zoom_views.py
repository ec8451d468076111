"""Views of a batch on the mesh: those of large images, which Pillow makes, and those of the devices."""

import numpy as np
import PIL
from PIL import Image

import tiny
from lrjax.data import images
from lrjax.data.images import host_windows
from lrjax.data.loader import batches
from lrjax.ops.zoom import centre_zoom_specs, crop_spec, zoom_spec
from lrjax.questions.zoom.views import view_maker
from lrjax.sharding import make_mesh

ORDER = "pillow13" if int(PIL.__version__.split(".")[0]) >= 13 else "pillow12"


def test_large_and_small_images_of_a_batch_are_alike(monkeypatch):
    monkeypatch.setattr(images, "LARGEST_CANVAS", 60)
    source = tiny.Pictures(5)
    (batch,) = batches(source, 6, specs=(), indices=range(5))
    assert list(batch.large) == [3, 4]
    views = view_maker(batch, make_mesh(2), sizes=batch.sizes, any_large=True, workers=2)
    shared = {"size": 8, "pass_order": ORDER}
    crops, centre = [crop_spec(mirrored=True, **shared)], list(centre_zoom_specs(**shared))
    for lists in ([[zoom_spec(scale, **shared) for scale in (224, 320)]], [crops, centre]):
        found, specs = np.asarray(views(*lists)), [spec for one in lists for spec in one]
        for row in range(5):
            image = Image.fromarray(source[row]["image"])
            expected = np.concatenate([host_windows(image, spec) for spec in specs])
            np.testing.assert_array_equal(found[row], expected, err_msg=str(row))
        assert not found[5].any()
