"""The LR-TK0 step: multi-scale distillation from the frozen backbone into its own low-resolution tokens."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from lrjax.config import Train
from lrjax.models.build import Encoders
from lrjax.models.lr_tokens import init_lr_tokens
from lrjax.models.zoo import Backbone
from lrjax.ops.augment import CropBank, crop_bank, random_crop_box, resized_crop
from lrjax.ops.degrade import LowResolutionBank, degrade, lr_bank, random_side
from lrjax.ops.preprocess import normalize
from lrjax.sharding import batch_sharding, replicated
from lrjax.train.losses import distillation_loss
from lrjax.types import Array, Tree


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
    def create(cls, config: Train, size: int) -> "ViewMaker":
        """Precomputes the taps for images of `config.image_size` and a model input of `size` pixels."""
        buckets = tuple(lr_bank(config.image_size, low, high) for low, high in config.buckets)
        return cls(crop_bank(config.image_size, size, config.crop_scale), buckets, config.shared_crop)

    def __call__(self, key: Array, images: Array) -> Array:
        """Makes the HR view and one LR view per bucket of every image.

        Args:
            key: random key.
            images: uint8 [B, S, S, 3], 0..255.

        Returns:
            uint8 [B, 1 + buckets, size, size, 3]; each view is first degraded, then cropped.
        """

        def views(key: Array, image: Array) -> Array:
            crop_keys, side_keys = jax.random.split(key, (2, 1 + len(self.buckets)))
            low = [degrade(image, random_side(k, b), b) for k, b in zip(side_keys[1:], self.buckets, strict=True)]
            if self.shared_crop:
                crop_keys = [crop_keys[0]] * len(crop_keys)
            boxes = [random_crop_box(crop_key, self.crop) for crop_key in crop_keys]
            return jnp.stack([resized_crop(v, *box, self.crop) for v, box in zip([image, *low], boxes, strict=True)])

        return jax.vmap(views)(jax.random.split(key, images.shape[0]), images)


@dataclasses.dataclass(frozen=True)
class Distiller:
    """Loss and step for one backbone.

    Attributes:
        row: the zoo row.
        encoders: its pure encoders.
        config: the training options.
        optimizer: transformation of the trainable tree {"tokens": tuple of L + 1 tables [N, D], "log_scale": []}.
    """

    row: Backbone
    encoders: Encoders
    config: Train
    optimizer: optax.GradientTransformation

    def init(self, seed: int) -> Tree:
        """Returns the initial state: trainable tree, optimizer state and step counter."""
        tokens = init_lr_tokens(self.row.spec.image, jax.random.key(seed), std=self.config.token_std)
        trainable = {"tokens": tuple(tokens), "log_scale": jnp.log(jnp.float32(1 / 0.07))}
        return {"trainable": trainable, "optimizer": self.optimizer.init(trainable), "step": jnp.zeros((), jnp.int32)}

    def loss(self, trainable: Tree, frozen: Tree, views: Array) -> Array:
        """Distils the HR view of the frozen model into all views of the model with tokens.

        Args:
            trainable: tokens and log_scale.
            frozen: parameters of the backbone, shared by teacher and student.
            views: uint8 [B, 1 + buckets, size, size, 3], the HR view first.

        Returns:
            float32 [].

        Reference:
            LR0.FM (arXiv 2502.03950), section 5.
        """
        images = normalize(views, self.row.preprocess.mean, self.row.preprocess.std)
        teacher = self.encoders.image(frozen, images[:, 0])
        students = self.encoders.image(
            frozen,
            images.reshape(-1, *images.shape[2:]),
            jnp.stack(trainable["tokens"]),
            remat=self.config.remat,
        )
        students = jnp.swapaxes(students.reshape(*images.shape[:2], -1), 0, 1)
        return distillation_loss(teacher, students, trainable["log_scale"], clamp=self.config.clamp_scale)

    def make_step(self, mesh: Mesh, seed: int) -> Callable[[Tree, Tree, Array], tuple[Tree, Tree]]:
        """Compiles the step (state, frozen, images) -> (state, log) with donated state.

        Args:
            mesh: images are laid out over its axis "data", the state is replicated.
            seed: seed of crops and sides; the step counter is folded in, so that a resumed run draws the same.

        Returns:
            The jitted step. Images are uint8 [B, S, S, 3]; the log holds float32 scalars "loss", "scale" and
            "gradient_norm".
        """
        make_views = ViewMaker.create(self.config, self.row.spec.image.size)

        def step(state: Tree, frozen: Tree, images: Array) -> tuple[Tree, Tree]:
            key = jax.random.fold_in(jax.random.key(seed), state["step"])
            views = jax.lax.with_sharding_constraint(make_views(key, images), batch_sharding(mesh))
            trainable = state["trainable"]
            loss, gradient = jax.value_and_grad(self.loss)(trainable, frozen, views)
            updates, optimizer = self.optimizer.update(gradient, state["optimizer"], trainable)
            trainable = optax.apply_updates(trainable, updates)
            log = {
                "loss": loss,
                "scale": jnp.exp(trainable["log_scale"]),
                "gradient_norm": optax.global_norm(gradient),
            }
            return {"trainable": trainable, "optimizer": optimizer, "step": state["step"] + 1}, log

        whole = replicated(mesh)
        return jax.jit(step, donate_argnums=0, out_shardings=(whole, whole))
