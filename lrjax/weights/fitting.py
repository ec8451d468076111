"""Which backbones a checkpoint fits, to be named when it does not fit the one that was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lrjax.errors import UserError
from lrjax.models.build import abstract_params
from lrjax.models.spec import ModelSpec
from lrjax.models.zoo import BACKBONES

if TYPE_CHECKING:
    from checkpoints_conv.rules import Reader


def fitting_rows(reader: "Reader", layout: str) -> list[str]:
    """Returns the backbones whose parameters have the names and shapes of a checkpoint; nothing is read.

    Shapes do not tell everything: weights made for quick GELU fit the rows with the exact one as well.

    Args:
        reader: open checkpoint.
        layout: its format, a key of `checkpoints_conv.FORMATS`.

    Returns:
        Names of rows, in the order of the zoo.
    """
    from checkpoints_conv import FORMATS, find_table, fits, leaf_sizes

    sizes = leaf_sizes(reader, FORMATS[layout].TABLE)

    def plausible(spec: ModelSpec) -> bool:  # abstract parameters take a tenth of a second, two sizes no time
        image, text = spec.image, spec.text
        expected = {"image/position": image.rows * image.position_width}
        if text is not None:
            expected["text/token_embed/embedding"] = text.vocabulary * text.blocks.width
        return all(sizes.get(path) == size for path, size in expected.items())

    specs = {row.spec for row in BACKBONES.values() if plausible(row.spec)}
    fitting = {spec for spec in specs if fits(reader, find_table(layout, spec), abstract_params(spec))}
    return [row.name for row in BACKBONES.values() if row.spec in fitting]


@contextmanager
def advice(reader: "Reader", layout: str) -> Iterator[None]:
    """Names the backbones that a checkpoint fits where converting it inside the context fails because it does not fit.

    Args:
        reader: open checkpoint.
        layout: its format, a key of `checkpoints_conv.FORMATS`.

    Raises:
        UserError: the checkpoint does not fit the model.
    """
    from checkpoints_conv import MisfitError

    try:
        yield
    except MisfitError as error:
        names = fitting_rows(reader, layout)
        if not names:
            raise
        raise UserError(f"{error.finding}; this checkpoint fits {', '.join(names)}") from error
