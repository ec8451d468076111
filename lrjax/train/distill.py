"""The step: multi-scale distillation from the frozen backbone into what is trained beside it."""

import dataclasses
import functools
import math
import re
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Float32, Int, PRNGKeyArray, Shaped, UInt8

from lrjax.config import Train
from lrjax.models.build import Encoders, exact_products
from lrjax.models.robust_token import robust_features
from lrjax.models.spec import ImageSpec
from lrjax.models.zoo import Backbone
from lrjax.ops.augment import CropBank, crop_bank, random_crop_box, resized_crop
from lrjax.ops.degrade import LowResolutionBank, degrade, lr_bank, random_side
from lrjax.ops.preprocess import normalize
from lrjax.sharding import batch_sharding, replicated
from lrjax.train.losses import caption_loss, clip_loss, consistency_loss
from lrjax.train.trainable import adaptation_of, init_trainable, transformer
from lrjax.types import Array, IntScalar, Tree
from lrjax.weights.streaming import named_leaves

_MAX_LOG_SCALE = math.log(100)
"""The bound that CLIP puts on its temperature after every step; the official LR0.FM code puts it on another scalar."""

_BLOCK = re.compile(r".*/blocks/\d+/(.+)")
"""The path of a leaf of an unfrozen block, or of one of its moments, in the state."""


@dataclasses.dataclass(frozen=True)
class ViewMaker:
    """Draws the training views of square HR images inside jit.

    Attributes:
        crop: taps of the random resized crop to the model's input.
        buckets: taps of each range of LR sides.
        shared_crop: whether all views of an image have the same crop.
    """

    crop: CropBank
    buckets: tuple[LowResolutionBank, ...]
    shared_crop: bool

    @classmethod
    def create(cls, config: Train, size: int, *, pass_order: str = "pillow13") -> "ViewMaker":
        """Precomputes the taps for images of `config.image_size` and a model input of `size` pixels."""
        buckets = tuple(lr_bank(config.image_size, low, high) for low, high in config.buckets)
        crop = crop_bank(config.image_size, size, config.crop_scale, pass_order=pass_order)
        return cls(crop, buckets, config.shared_crop)

    def __call__(
        self, key: PRNGKeyArray, images: UInt8[Array, "B S S 3"]
    ) -> UInt8[Array, "B {1+len(self.buckets)} {self.crop.size} {self.crop.size} 3"]:
        """Makes the HR view and one LR view per bucket of every image.

        Args:
            key: consumed.
            images: 0..255.

        Returns:
            The views, 0..255; each is first degraded, then cropped.
        """

        def crop(key: PRNGKeyArray, image: UInt8[Array, "S S 3"]) -> UInt8[Array, "size size 3"]:
            top, left, height, width = random_crop_box(key, self.crop)
            return resized_crop(image, top, left, height, width, self.crop)

        def views(key: PRNGKeyArray, image: UInt8[Array, "S S 3"]) -> UInt8[Array, "views size size 3"]:
            crop_keys, side_keys = jax.random.split(key, (2, 1 + len(self.buckets)))
            low = [degrade(image, random_side(k, b), b) for k, b in zip(side_keys[1:], self.buckets, strict=True)]
            if self.shared_crop:
                crop_keys = [crop_keys[0]] * len(crop_keys)
            return jnp.stack([crop(k, view) for k, view in zip(crop_keys, [image, *low], strict=True)])

        return jax.vmap(views)(jax.random.split(key, images.shape[0]), images)


@dataclasses.dataclass(frozen=True)
class Distiller:
    """Loss and step for one backbone.

    Attributes:
        row: the zoo row.
        encoders: its pure encoders.
        config: the training options.
        optimizer: transformation of the trainable tree of `init_trainable`.
    """

    row: Backbone
    encoders: Encoders
    config: Train
    optimizer: optax.GradientTransformation

    @property
    def spec(self) -> ImageSpec:
        """The image tower of the backbone."""
        return transformer(self.row)

    def init(self, seed: IntScalar, frozen: Tree | None = None) -> Tree:
        """Returns the initial state: trainable tree, optimizer state and step counter.

        Args:
            seed: of the random part.
            frozen: parameters of the backbone; only unfrozen blocks need them.
        """
        trainable = init_trainable(self.config, self.spec, jax.random.key(seed), frozen)
        return {"trainable": trainable, "optimizer": self.optimizer.init(trainable), "step": jnp.zeros((), jnp.int32)}

    def layout(self, frozen: Tree, mesh: Mesh) -> Tree:
        """Returns the shardings of the state: unfrozen blocks and their moments lie as in the backbone, the rest whole.

        Args:
            frozen: parameters of the backbone, on the mesh.
            mesh: the devices.
        """
        blocks = dict(named_leaves(frozen["image"]["blocks"])) if self.config.unfrozen else {}

        def place(path: tuple, leaf: jax.ShapeDtypeStruct) -> NamedSharding:
            block = _BLOCK.fullmatch(jax.tree_util.keystr(path, simple=True, separator="/"))
            if block is None or leaf.ndim == 0:
                return replicated(mesh)
            return NamedSharding(mesh, PartitionSpec(*blocks[block[1]].sharding.spec[1:]))  # without the axis of depth

        return jax.tree_util.tree_map_with_path(place, jax.eval_shape(self.init, 0, frozen))

    def teach(self, frozen: Tree, images: UInt8[Array, "B size size 3"]) -> Float32[Array, "B E"]:
        """Embeds HR views with the backbone alone."""
        return self.encoders.image(frozen, self._normalize(images))

    def study(self, trainable: Tree, frozen: Tree, images: UInt8[Array, "B size size 3"]) -> Float32[Array, "B E"]:
        """Embeds views with what is trained."""
        adaptation = adaptation_of(trainable, self.spec)
        return self.encoders.image(frozen, self._normalize(images), adaptation, remat=self.config.remat)

    def compare(
        self,
        trainable: Tree,
        teacher: Float32[Array, "B E"],
        student: Float32[Array, "B E"],
        captions: Int[Array, "B"] | None,
    ) -> Float32[Array, ""]:
        """The loss of one view's embeddings of a whole batch."""
        loss = clip_loss(teacher, student, jnp.exp(trainable["log_scale"]))
        if "classifier" in trainable:
            assert captions is not None
            loss += caption_loss(student[None], trainable["classifier"], captions)
        return loss

    def gradient(
        self,
        trainable: Tree,
        frozen: Tree,
        views: UInt8[Array, "B views size size 3"],
        captions: Int[Array, "B"] | None = None,
    ) -> tuple[Float32[Array, ""], Tree]:
        """Distils the HR view of the frozen model into all views of the student.

        The contrastive loss is a sum over views, which are taken one after the other: the backward pass needs the
        memory of one view of one microbatch. RobustSAM's loss is not, its batch norms see all views at once.

        Args:
            trainable: tree of `init_trainable`.
            frozen: parameters of the backbone; the student shares what is not trained.
            views: the HR view first, then one per bucket.
            captions: 0..captions - 1, for the classifier; None without one.

        Returns:
            The loss and its gradient, a tree like `trainable`.

        Reference:
            LR0.FM (arXiv 2502.03950), section 5.
        """
        if self.config.robust_token:
            with exact_products(self.encoders.dtype):  # of the denoisers
                return jax.value_and_grad(self._robust_loss)(trainable, frozen, views, captions)
        views = jnp.swapaxes(views, 0, 1)
        teacher = self._map(functools.partial(self.teach, frozen), views[0])

        def add(total: tuple[Array, Tree], view: UInt8[Array, "B size size 3"]) -> tuple[tuple[Array, Tree], None]:
            found = self._view_gradient(trainable, frozen, teacher, view, captions)
            return jax.tree.map(jnp.add, total, found), None

        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, trainable))
        return jax.lax.scan(add, nothing, views)[0]

    def _view_gradient(
        self,
        trainable: Tree,
        frozen: Tree,
        teacher: Float32[Array, "B E"],
        images: UInt8[Array, "B size size 3"],
        captions: Int[Array, "B"] | None,
    ) -> tuple[Float32[Array, ""], Tree]:
        """Loss and gradient of one view of the batch.

        With several microbatches all are embedded first, the loss of the whole batch is differentiated with respect to
        the embeddings, and each microbatch is embedded again to carry that on to the trainable tree.

        Reference:
            GradCache (arXiv 2101.06983), section 3.
        """
        if self.config.microbatches == 1:
            return jax.value_and_grad(
                lambda tree: self.compare(tree, teacher, self.study(tree, frozen, images), captions)
            )(trainable)
        student = self._map(functools.partial(self.study, trainable, frozen), images)
        loss, (direct, wanted) = jax.value_and_grad(self.compare, argnums=(0, 2))(trainable, teacher, student, captions)

        def add(total: Tree, part: tuple[UInt8[Array, "b size size 3"], Float32[Array, "b E"]]) -> tuple[Tree, None]:
            images, cotangent = part
            _, pull = jax.vjp(lambda tree: self.study(tree, frozen, images), trainable)
            return jax.tree.map(jnp.add, total, pull(cotangent)[0]), None

        return loss, jax.lax.scan(add, direct, (self._split(images), self._split(wanted)))[0]

    def _robust_loss(
        self,
        trainable: Tree,
        frozen: Tree,
        views: UInt8[Array, "B views size size 3"],
        captions: Int[Array, "B"] | None,
    ) -> Float32[Array, ""]:
        """The loss of RobustSAM: the HR view is the teacher's alone."""
        images, adaptation = self._normalize(views), adaptation_of(trainable, self.spec)
        teacher, *patches = self._with_patches(frozen, images[:, 0])
        clear = robust_features(trainable["denoisers"], *patches, clear=True)
        low = jnp.swapaxes(images[:, 1:], 0, 1)
        students, *patches = self._with_patches(
            frozen, low.reshape(-1, *low.shape[2:]), adaptation, remat=self.config.remat
        )
        restored = robust_features(trainable["denoisers"], *patches, clear=False)
        students, restored = (part.reshape(*low.shape[:2], *part.shape[1:]) for part in (students, restored))
        loss = consistency_loss(teacher, students, jax.lax.stop_gradient(clear), restored)
        if "classifier" in trainable:
            assert captions is not None
            loss += caption_loss(students, trainable["classifier"], captions)
        return loss

    def _with_patches(
        self, frozen: Tree, images: Array, adaptation: Tree | None = None, *, remat: str = "none"
    ) -> tuple[Array, Array, Array]:
        """Embeds images, and gives their patch rows after the first block and after the last norm, [B, G, G, D]."""
        found = self.encoders.apply(frozen, images, adaptation, taps=("blocks", "normed"), remat=remat)
        grid = self.spec.grid
        first, last = (
            rows[:, -(grid**2) :].reshape(len(rows), grid, grid, -1) for rows in (found["blocks"][0], found["normed"])
        )
        return found["embedding"], first, last

    def make_step(self, mesh: Mesh, seed: int, *, layout: Tree | None = None) -> Callable[..., tuple[Tree, Tree]]:
        """Compiles the step (state, frozen, images, captions=None) -> (state, log) with donated state.

        Args:
            mesh: images are laid out over its axis "data".
            seed: seed of crops and sides; the step counter is folded in, so that a resumed run draws the same.
            layout: shardings of the state; None for every device whole.

        Returns:
            The jitted step. Images are uint8 [B, S, S, 3], captions int [B]; the log holds float32 scalars "loss",
            "scale", "gradient_norm" and "norm", that of all that is trained.
        """
        order = self.row.preprocess.pass_order
        make_views = ViewMaker.create(self.config, self.spec.size, pass_order=order)

        def step(
            state: Tree, frozen: Tree, images: UInt8[Array, "B S S 3"], captions: Int[Array, "B"] | None = None
        ) -> tuple[Tree, Tree]:
            key = jax.random.fold_in(jax.random.key(seed), state["step"])
            views = jax.lax.with_sharding_constraint(make_views(key, images), batch_sharding(mesh))
            trainable = state["trainable"]
            loss, gradient = self.gradient(trainable, frozen, views, captions)
            updates, optimizer = self.optimizer.update(gradient, state["optimizer"], trainable)
            trainable = cast(Tree, optax.apply_updates(trainable, updates))
            if self.config.clamp_scale:
                trainable |= {"log_scale": jnp.clip(trainable["log_scale"], 0, _MAX_LOG_SCALE)}
            log = {
                "loss": loss,
                "scale": jnp.exp(trainable["log_scale"]),
                "gradient_norm": optax.global_norm(gradient),
                "norm": optax.global_norm(trainable),
            }
            return {"trainable": trainable, "optimizer": optimizer, "step": state["step"] + 1}, log

        whole = replicated(mesh)
        return jax.jit(step, donate_argnums=0, out_shardings=(whole if layout is None else layout, whole))

    def _map(self, function: Callable[[Array], Array], images: Shaped[Array, "B *in"]) -> Shaped[Array, "B *out"]:
        """Applies a function of rows to one microbatch after the other."""
        parts = jax.lax.map(function, self._split(images))
        return jnp.swapaxes(parts, 0, 1).reshape(-1, *parts.shape[2:])

    def _split(self, x: Shaped[Array, "B *rest"]) -> Shaped[Array, "{self.config.microbatches} b *rest"]:
        """Parts of every n-th row, so that each part is spread over the devices as x is."""
        return jnp.swapaxes(x.reshape(-1, self.config.microbatches, *x.shape[1:]), 0, 1)

    def _normalize(self, views: UInt8[Array, "... 3"]) -> Float32[Array, "... 3"]:
        return normalize(views, self.row.preprocess.mean, self.row.preprocess.std)
