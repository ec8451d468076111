"""What an adapter may change of a frozen image tower, place by place."""

from typing import Any, ClassVar

from jaxtyping import Float

from lrjax.errors import UserError
from lrjax.models.spec import TowerSpec
from lrjax.types import Array, Tree


class Adapter:
    """Leaves an image tower as it is; an adapter overrides the places that it changes.

    Rows are those before the patches, such as the class token, and the patches.

    Attributes:
        name: what errors call it, in the plural.
    """

    name: ClassVar[str]

    def check(self, spec: TowerSpec) -> None:
        """Refuses a tower that it does not fit.

        Raises:
            UserError: it is no vision transformer, or of another shape.
        """
        if spec.transformer is None:
            raise UserError(f"a ResNet has no patch rows, which {self.name} change; use a vision transformer")

    def params(self, params: Tree) -> Tree:
        """Changes the parameters of the image tower."""
        return params

    def patches(self, x: Float[Array, "B N D"]) -> Float[Array, "B N D"]:
        """Changes the patch embeddings, before class token and positions."""
        return x

    def enter(self, x: Float[Array, "B S D"], *, before: int) -> Float[Array, "B _ D"]:
        """Changes the rows before the first block, of which `before` stand before the patches."""
        return x

    def layers(self) -> Any:
        """Gives what each block needs, with an axis of depth in front."""
        return None

    def block(self, x: Float[Array, "B S D"], layer: Any) -> Float[Array, "B S D"]:
        """Changes the input of a block.

        Args:
            x: the rows.
            layer: that of `layers` for this block.
        """
        return x

    def leave(self, x: Float[Array, "B S D"], *, before: int) -> Float[Array, "B _ D"]:
        """Changes the rows behind the last block, where all are pooled."""
        return x

    def pooled(self, x: Float[Array, "B D"]) -> Float[Array, "B D"]:
        """Changes what the head takes."""
        return x
