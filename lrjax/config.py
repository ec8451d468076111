"""The typed form of a configuration: what every key means, its default, and errors for values out of range."""

import dataclasses
import difflib
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from lrjax.checks.home import expand_home
from lrjax.checks.ranges import Amount, Batch, Count, Fraction, Positive, Range, Seed, Side, check_ranges
from lrjax.errors import UserError


def path_field(**options: Any) -> Any:
    """Returns a field that holds a path, NAME=PATH or KIND:PATH, or several, in which "~" is the home of the user."""
    return dataclasses.field(metadata={"path": True}, **options)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Group:
    """Options, in whose paths the home of the user is meant by "~"."""

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if field.metadata.get("path"):
                object.__setattr__(self, field.name, expand_home(getattr(self, field.name)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Group):
    """The evaluation data.

    Attributes:
        names: data sets, evaluated in this order.
            A name of the registry; the path of a YAML or JSON file that describes one (see `lrjax.data.rows`); or the
            LOCATION or KIND:LOCATION of images whose files name their classes, such as a folder of class folders, for
            which the prompt is "a photo of a {}." (see `lrjax.data.from_files`). "+CORRUPTION-SEVERITY" behind it
            corrupts the images, as in "imagenet+fog-3".
        root: folder with NAME or NAME.tar for each data set; "tfds" for TensorFlow Datasets.
        sources: for a data set by name, LOCATION or KIND:LOCATION (see `lrjax.data.locations`) instead of the root.
        count: images per procedural data set.
        limit: at most this many images of every data set, a random sample that is the same for all models, for a quick
            try; tables mark its results as incomplete. 0 takes all.
        seed: seed of the procedural images, of corruptions and of the sample.
        on_error: what an image that cannot be decoded does: "error" stops the run, "skip" leaves it out and reports it.
            A file that is gone, or cannot be read, always stops it.
        on_doubt: what labels that are not certain do, such as class folders with unknown names in sorted order: "error"
            stops the run before weights are read, "warn" goes on with the labels as they seem to be.
        rgb: when images become RGB: "after" the resizes, as LR0.FM does, or "before" them; palettes, transparency, CMYK
            and 16 bits make a difference.
        workers: threads that decode.
        decode_gib: memory in GiB for the images that the threads decode at the same time, 20 bytes per pixel and more
            for corruptions; images that do not fit beside others wait, and one that does not fit by itself is refused,
            as is a row group of a Parquet file above a quarter of it.
        region: "foreground" blackens what lies outside of the bounding boxes of the objects, "background" what lies
            inside; the data sets then have this word behind their names. "" shows whole images.
        boxes: folder of the boxes of real images, PASCAL VOC's XML as in ILSVRC; procedural pictures know theirs.
    """

    names: tuple[str, ...] = path_field()
    root: str = path_field(default="")
    sources: Mapping[str, str] = path_field(default_factory=dict)
    count: Positive = 240
    limit: Count = 0
    seed: Seed = 0
    on_error: str = "error"
    on_doubt: str = "error"
    rgb: str = "after"
    workers: Annotated[int, Range(0, 1024)] = 2
    decode_gib: Annotated[float, Range(0, 10**6, above=True)] = 8.0
    region: str = ""
    boxes: str = path_field(default="")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How images are fed to a model, whatever is asked.

    Attributes:
        batch_size: images per batch over all devices, each under all views.
        part_size: images after which what is finished is put on disk; an interrupted run goes on behind it.
        record_gib: GiB on disk for what the model said of every image, kept for further questions; what does not fit is
            computed again when it is asked for.
    """

    batch_size: Batch = 64
    part_size: Positive = 4096
    record_gib: Amount = 8.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train(Group):
    """Multi-scale distillation of a backbone into what is trained beside it (LR0.FM, arXiv 2502.03950, section 5).

    By default that is LR-TK0 tokens; `tokens`, `prompts`, `robust_token` and `unfrozen` choose it and combine freely.

    Attributes:
        steps: optimizer steps; 0 evaluates the vanilla backbone only. Exclusive with `epochs`.
        epochs: passes over the training images, instead of `steps`.
        root: folder of unlabelled training images, searched recursively, or of images generated from numbered captions
            (see `lrjax.data.sources.captioned`); "procedural" renders them.
        count: number of procedural training images.
        images_per_caption: images of every numbered caption, the first ones of a folder; 0 takes all of a folder, and
            renders each procedural image from a caption of its own, without a number. The paper has 30.
        image_size: side in pixels of the square HR training images.
        buckets: half-open ranges of LR sides; one LR image per bucket is made of each HR image.
        crop_scale: range of the area of the random crop, as a fraction of the image.
        shared_crop: whether all views of an image have the same crop; the official code draws them independently.
        tokens: whether LR tokens are trained.
        first_block: block from which on there are token tables, with none after patchify; 0 has all tables.
        prompts: visual prompts, rows beside those of the patches from the first block on (VPT); the paper has 50.
        robust_token: whether a class token for degraded images is trained, RobustSAM for classification
            (`lrjax.models.robust_token`), with the loss of that method instead of the contrastive one.
        unfrozen: fraction of the blocks, the last ones, that is trained too; the paper tries a quarter.
        unfrozen_rate: factor of the rate of those blocks.
        captions: classes of a linear classifier of the embeddings into the captions that the images were generated
            from, trained along with the rest; 0 has none, the paper 7000.
        batch_size: images per step over all devices.
        microbatches: parts of a batch that are embedded one after the other, each twice, to save memory; the loss is
            that of the whole batch.
        learning_rate: peak rate of the tokens.
        scale_learning_rate: peak rate of the logarithm of the temperature.
        layer_decay: decay of the rate from the last block to the first.
        weight_decay: of the tokens.
        warmup_steps: steps of linear warm-up, at most a tenth of all steps.
        clip_norm: bound of the global gradient norm.
        clamp_scale: whether the factor of the cosines is put back into 1 to 100 after every step.
        token_std: deviation of the initial tokens.
        remat: what the backward pass recomputes to save memory: "none", "selective", all but the products with weights,
            or "full", whole blocks. It changes nothing else.
        save_every: steps between checkpoints.
        evaluate_every: steps between zero-shot evaluations, of which the best is kept; 0 has none.
        log: where the curves go beside `training.csv`, any of "tensorboard", "wandb" (Weights & Biases) and "trackio",
            each a package to install.
        tensorboard: as "tensorboard" in `log`.
    """

    steps: Count = 0
    epochs: Count = 0
    root: str = path_field(default="procedural")
    count: Positive = 2000
    images_per_caption: Count = 0
    image_size: Side = 224
    buckets: tuple[tuple[int, int], ...] = ((16, 32), (32, 64), (64, 128))
    crop_scale: tuple[float, float] = (0.9, 1.0)
    shared_crop: bool = False
    tokens: bool = True
    first_block: Count = 0
    prompts: Count = 0
    robust_token: bool = False
    unfrozen: Fraction = 0.0
    unfrozen_rate: Amount = 0.01
    captions: Count = 0
    batch_size: Batch = 64
    microbatches: Batch = 1
    learning_rate: Amount = 2e-4
    scale_learning_rate: Amount = 5e-4
    layer_decay: Fraction = 0.75
    weight_decay: Amount = 0.05
    warmup_steps: Count = 2000
    clip_norm: Annotated[float, Range(0, 10**6, above=True)] = 5.0
    clamp_scale: bool = True
    token_std: Amount = 0.02
    remat: str = "selective"
    save_every: Positive = 100
    evaluate_every: Count = 0
    log: tuple[str, ...] = ()
    tensorboard: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """Tables and plots.

    Attributes:
        plots: whether PNG plots are drawn.
        weights: "paper" for the published WAR weights of the fifteen data sets, "equal" otherwise.
    """

    plots: bool = True
    weights: str = "paper"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """Several trainings that differ in a few keys, each with several seeds, in one table (`lrjax.runs.ablation`).

    Attributes:
        title: heading of the table.
        rows: names and what each changes, a nested mapping of "model", "source", "name" and keys of "train". A row that
            sets `train.steps` or `train.epochs` to 0 is the backbone as it is.
        seeds: every row is trained once with each, instead of `config.seed`.
        metrics: columns, "sar", "war" or "acc" and a resolution: "sar16", "warhr".
        paper: published numbers in percent, by row and metric; those of other metrics are not shown.
        axis: dotted key, for instance "train.first_block", along which a chart is drawn; "" for none.
    """

    title: str = "Ablation"
    rows: tuple[tuple[str, Mapping[str, Any]], ...] = ()
    seeds: tuple[Seed, ...] = (0, 1, 2)
    metrics: tuple[str, ...] = ("sar16", "war16")
    paper: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)
    axis: str = ""

    def __post_init__(self):
        names = [name for name, _ in self.rows]
        for key, values in (("seeds", self.seeds), ("metrics", self.metrics), ("rows", names)):
            if len(set(values)) < len(values) or not (values or key == "rows"):
                raise UserError(f"config.ablation.{key} names {values}; name at least one, and each once")
        for row in self.paper:
            if row not in names:
                raise unknown_key(row, names, "ablation.paper.")
        printed = {f"paper.{row}": numbers for row, numbers in self.paper.items()}
        for key, metrics in ({"metrics": self.metrics} | printed).items():
            for name in metrics:
                if not re.fullmatch(r"(sar|war|acc)([1-9]\d*|hr)", name):
                    raise UserError(f"config.ablation.{key} has {name!r}; use sar, war or acc and a side or hr: sar16")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(Group):
    """A whole run.

    Attributes:
        model: the backbone, a name in the zoo.
        source: checkpoint file, FILE:ENTRY where it holds several sets of weights, `.index.json`, directory of a
            conversion or a download, or hub id ORG/NAME, with @REVISION or :FILE; "embedded" for the shipped one, ""
            for the row's hub id.
        name: what results call the model; "" for the name of the backbone where the weights are its published ones, and
            otherwise for that of the file (see `lrjax.weights.naming`).
        models: several models instead of `model`, `source` and `name`, evaluated one after the other: "BACKBONE",
            "BACKBONE=SOURCE" or "NAME=BACKBONE=SOURCE" each.
        workdir: where checkpoints, results and the report go.
        seed: seed of tokens, crops and shuffling.
        precision: compute dtype, "float32" or "bfloat16"; scores and losses are always float32.
        devices: number of devices; None for all.
        distributed: whether this process is one of several that share the run (`lrjax.sharding.join_processes`).
        placement: "replicate" for a copy of the parameters on every device, or "fsdp" to spread them over the devices.
        protocol: "native" preprocessing of the weights, or "lr0fm" for that of the published LR0.FM numbers.
        pass_order: order of the two passes of a resize, on which tall images depend: "pillow13", or "pillow12"
            for that of earlier versions of Pillow, with which the published numbers were made; "" for that of the
            protocol, which is "pillow12" for "lr0fm" and "pillow13" for "native".
        questions: what is asked: by name the options of each (see `lrjax.questions`), with "type" where the name is not
            that of a question.
        numerics: "open_clip" activation and epsilon, or "as_trained" for those of the training of CLIPA and SigLIP.
    """

    model: str = ""
    data: Data
    source: str = path_field(default="")
    name: str = ""
    models: tuple[str, ...] = path_field(default=())
    workdir: str = path_field(default="runs/default")
    seed: Seed = 0
    precision: str = "float32"
    devices: Positive | None = None
    distributed: bool = False
    placement: str = "replicate"
    protocol: str = "native"
    pass_order: str = ""
    numerics: str = "open_clip"
    evaluation: Evaluation = dataclasses.field(default_factory=Evaluation)
    questions: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=lambda: {"zeroshot": {}})
    train: Train = dataclasses.field(default_factory=Train)
    ablation: Ablation = dataclasses.field(default_factory=Ablation)
    report: Report = dataclasses.field(default_factory=Report)

    def __post_init__(self):
        super().__post_init__()
        check_ranges(self)
        if bool(self.model) == bool(self.models):
            raise UserError("set either config.model or config.models, the names of backbones of the zoo")
        if self.models and (self.source or self.name):
            key = "source" if self.source else "name"
            raise UserError(f"config.{key} belongs to config.model; write NAME=BACKBONE=SOURCE in config.models")
        if self.name:
            check_name("name", self.name.strip())
        if self.models and (self.train.steps or self.train.epochs):
            raise UserError("tokens are trained for one backbone; name it in config.model instead of config.models")
        if not self.ablation.rows and self.ablation != Ablation():
            raise UserError("config.ablation has no rows; start from a recipe with rows, such as configs/table14.py")
        if self.models and self.ablation.rows:
            raise UserError("an ablation has one backbone per row; name it in config.model instead of config.models")
        _one_of("precision", self.precision, ("float32", "bfloat16"))
        _one_of("protocol", self.protocol, ("native", "lr0fm"))
        _one_of("pass_order", self.pass_order, ("", "pillow13", "pillow12"))
        _one_of("numerics", self.numerics, ("open_clip", "as_trained"))
        _one_of("train.remat", self.train.remat, ("none", "selective", "full"))
        for name in self.train.log:
            _one_of("train.log", name, ("tensorboard", "wandb", "trackio"))
        _one_of("placement", self.placement, ("replicate", "fsdp"))
        _one_of("data.on_error", self.data.on_error, ("error", "skip"))
        _one_of("data.on_doubt", self.data.on_doubt, ("error", "warn"))
        _one_of("data.rgb", self.data.rgb, ("after", "before"))
        _one_of("data.region", self.data.region, ("", "foreground", "background"))
        if self.data.boxes and not self.data.region:
            raise UserError("config.data.boxes is set without config.data.region; set that to what the boxes leave")
        _one_of("report.weights", self.report.weights, ("paper", "equal"))
        for key, group in (("data.names", self.data.names), ("questions", self.questions)):
            if not group:
                raise UserError(f"config.{key} is empty; name at least one")
        if len(set(self.data.names)) < len(self.data.names):
            twice = max(self.data.names, key=self.data.names.count)
            raise UserError(f"config.data.names names {twice!r} twice; remove one")
        if self.train.steps and self.train.epochs:
            raise UserError("config.train.steps and config.train.epochs are both set; set one of them to 0")
        if not self.train.buckets:
            raise UserError("config.train.buckets is empty; give at least one range of sides")
        for low, high in self.train.buckets:
            if not 1 <= low < high <= self.train.image_size:
                raise UserError(
                    f"config.train.buckets: ({low}, {high}) is no range of sides from 1 to train.image_size "
                    f"({self.train.image_size})"
                )
        if not (self.train.tokens or self.train.prompts or self.train.robust_token or self.train.unfrozen):
            raise UserError(
                "config.train trains nothing; set train.tokens, train.prompts, train.robust_token or train.unfrozen"
            )
        if self.train.robust_token and self.train.microbatches > 1:
            raise UserError(
                "config.train.robust_token has batch norms, which need whole batches; set config.train.microbatches=1"
            )
        if self.train.first_block and not self.train.tokens:
            raise UserError("config.train.first_block places tokens, but train.tokens is False; set it or leave it out")
        if self.train.captions == 1:
            raise UserError("config.train.captions is 1; a classifier needs two classes, 0 has no classifier")
        if self.train.batch_size % self.train.microbatches:
            raise UserError(
                f"config.train.batch_size {self.train.batch_size} does not divide into {self.train.microbatches} "
                "microbatches; use a multiple"
            )
        low, high = self.train.crop_scale
        if not 0 < low <= high <= 1:
            raise UserError(f"config.train.crop_scale: ({low}, {high}) is no range of fractions above 0 and up to 1")


def config_hash(config: Config) -> str:
    """Returns 16 hexadecimal digits that depend on every value of a configuration but the working directory."""
    values = dataclasses.asdict(config) | {"workdir": ""}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


LONGEST_NAME = 80
"""Most characters of the name of a model."""
NOT_IN_NAMES = "=/\\"
"""Characters that the name of a model may not have, besides those that cannot be printed."""


def check_name(key: str, name: str) -> None:
    """Checks that a model can have a name.

    Args:
        key: key of the configuration that has it, for the message.
        name: the name.

    Raises:
        UserError: it is empty or too long, or has a character that it may not have.
    """
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable() or {*name} & {*NOT_IN_NAMES}:
        raise UserError(
            f"config.{key} calls a model {name[: 2 * LONGEST_NAME]!r}; give 1 to {LONGEST_NAME} printable characters, "
            f"none of them {' '.join(NOT_IN_NAMES)}"
        )


def unknown_key(key: str, known: Iterable[str], prefix: str) -> UserError:
    """Returns the error for a key that a group of a configuration does not have, with the closest one that it has.

    Args:
        key: the key.
        known: those that there are.
        prefix: path of the group, "train." for example.
    """
    close = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {prefix}{close[0]}?" if close else f"known keys: {', '.join(known)}"
    return UserError(f"unknown config key {prefix}{key}; {hint}")


def _one_of(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UserError(f"config.{key} is {value!r}; use one of {', '.join(map(repr, allowed))}")
