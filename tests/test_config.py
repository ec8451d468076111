import dataclasses
import typing

import pytest

from configs import lr_tk0_eva
from lrjax.config import Config, Data, config_hash
from lrjax.errors import UserError
from lrjax.questions.registry import QUESTIONS, find
from lrjax.runs.config_reader import check_key, from_mapping, with_defaults


def build(**changes):
    mapping = {"model": "EVA02-B-16", "data": {"names": ["shapes"]}}
    for key, value in changes.items():
        if isinstance(value, dict):
            value = mapping.get(key, {}) | value
        mapping[key] = value
    return from_mapping(Config, mapping)


def test_defaults_and_lists_as_tuples():
    config = build(
        questions={"zeroshot": {"resolutions": [16, 24]}}, train={"buckets": [[8, 16], (16, 20)], "crop_scale": [1, 1]}
    )
    assert config.data == Data(names=("shapes",))
    assert config.questions == {"zeroshot": {"type": "zeroshot", "resolutions": (16, 24)}}
    assert config.train.buckets == ((8, 16), (16, 20))
    assert config.train.crop_scale == (1.0, 1.0)
    assert (config.seed, config.devices, config.precision, config.train.steps) == (0, None, "float32", 0)
    assert build(devices=2).devices == 2


def test_integers_become_floats_and_not_the_other_way():
    rate = build(train={"learning_rate": 1}).train.learning_rate
    assert rate == 1.0
    assert isinstance(rate, float)
    with pytest.raises(UserError, match=r"config\.train\.steps must be of type int, not 3\.0"):
        build(train={"steps": 3.0})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modle": "x"}, r"^unknown config key modle; did you mean model\?$"),
        ({"train": {"stpes": 3}}, r"^unknown config key train\.stpes; did you mean train\.steps\?$"),
        ({"report": {"zzz": 3}}, r"^unknown config key report\.zzz; known keys: plots, weights$"),
        ({"seed": "abc"}, r"config\.seed must be of type int, not 'abc'"),
        ({"seed": True}, r"config\.seed must be of type int, not True"),
        ({"devices": "all"}, r"config\.devices must be of type int"),
        ({"report": {"plots": 1}}, r"config\.report\.plots must be of type bool, not 1"),
        ({"data": {"names": "shapes"}}, r"config\.data\.names must be a tuple, not 'shapes'"),
        ({"data": {"names": [3]}}, r"config\.data\.names must be of type str, not 3"),
        ({"questions": {"zeroshot": {"resolutions": 16}}}, r"config\.questions\.zeroshot\.resolutions must be a tuple"),
        ({"questions": {"zeroshot": {"resolution": 16}}}, r"did you mean questions\.zeroshot\.resolutions\?$"),
        ({"questions": {"zeroshto": {}}}, r"unknown question 'zeroshto' in config\.questions; did you mean 'zeroshot'"),
        ({"questions": {"mine": {}}}, r"unknown question 'mine' .*; use one of retrieval, zeroshot, zoom"),
        ({"questions": {"mine": {"type": "json:dumps"}}}, r"'json:dumps' of config\.questions is no question"),
        ({"questions": {"mine": {"type": "nowhere.py:Mine"}}}, r"'nowhere\.py:Mine' .* cannot be imported"),
        ({"train": {"buckets": [[16, 32, 64]]}}, r"config\.train\.buckets must have 2 values"),
        ({"train": {"buckets": [16, 32]}}, r"config\.train\.buckets must be a tuple, not 16"),
        ({"train": {"crop_scale": (0.9,)}}, r"config\.train\.crop_scale must have 2 values"),
        ({"train": 3}, r"config\.train must be a group of keys, not 3"),
        ({"train": {"steps": 3, "epochs": 1}}, r"config\.train\.steps and config\.train\.epochs are both set"),
        ({"train": {"steps": -1}}, r"config\.train\.steps is -1; it must be at least 0"),
        ({"train": {"batch_size": 0}}, r"config\.train\.batch_size is 0; it must be at least 1"),
        ({"train": {"save_every": 0}}, r"config\.train\.save_every is 0"),
        ({"train": {"remat": "some"}}, r"config\.train\.remat is 'some'; use one of 'none', 'selective', 'full'"),
        (
            {"train": {"evaluate_every": 2}, "questions": {"zoom": {}}},
            r"config\.train\.evaluate_every measures accuracy; add zeroshot",
        ),
        (
            {"questions": {"zoom": {"normalisation": "clip"}}},
            r"config\.questions\.zoom\.normalisation is 'clip'; use 'imagenet' or 'native'",
        ),
        (
            {"questions": {"zoom": {"scales_at_once": 5}}},
            r"config\.questions\.zoom\.scales_at_once is 5; use 1, 2, 3, 4",
        ),
        ({"data": {"region": "sky"}}, r"config\.data\.region is 'sky'; use one of '', 'foreground', 'background'"),
        ({"data": {"boxes": "x"}}, r"config\.data\.boxes is set without config\.data\.region"),
        (
            {"questions": {"zoom": {"keep": ["logits"]}}},
            r"config\.questions\.zoom\.keep has 'logits'; use 'confidence'",
        ),
        ({"train": {"buckets": ()}}, r"config\.train\.buckets is empty"),
        ({"train": {"tokens": False}}, r"trains nothing; set train\.tokens, train\.prompts, train\.robust_token or"),
        ({"train": {"tokens": False, "prompts": 5, "first_block": 1}}, r"first_block places tokens"),
        ({"train": {"prompts": -1}}, r"config\.train\.prompts is -1; it must be at least 0"),
        ({"train": {"unfrozen": 1.5}}, r"config\.train\.unfrozen is 1\.5; it must be at most 1"),
        ({"train": {"images_per_caption": -1}}, r"config\.train\.images_per_caption is -1; it must be at least 0"),
        ({"train": {"captions": 1}}, r"config\.train\.captions is 1; a classifier needs two"),
        ({"train": {"batch_size": 8, "microbatches": 3}}, r"batch_size 8 does not divide into 3 microbatches"),
        (
            {"train": {"robust_token": True, "microbatches": 2}},
            r"robust_token has batch norms, which need whole batches",
        ),
        ({"train": {"buckets": ((32, 16),)}}, r"config\.train\.buckets: \(32, 16\) is no range of sides"),
        ({"train": {"buckets": ((16, 16),)}}, r"\(16, 16\) is no range"),
        ({"train": {"buckets": ((0, 16),)}}, r"\(0, 16\) is no range"),
        ({"train": {"buckets": ((16, 65),), "image_size": 64}}, r"\(16, 65\) is no range .*\(64\)"),
        ({"train": {"crop_scale": (0.0, 1.0)}}, r"crop_scale: \(0\.0, 1\.0\) is no range of fractions"),
        ({"train": {"crop_scale": (0.9, 1.1)}}, r"is no range of fractions"),
        ({"data": {"names": ()}}, r"config\.data\.names is empty"),
        ({"data": {"names": ("dtd", "cars", "cars")}}, r"config\.data\.names names 'cars' twice"),
        ({"data": {"on_error": "ignore"}}, r"config\.data\.on_error is 'ignore'; use one of 'error', 'skip'"),
        ({"data": {"on_doubt": "skip"}}, r"config\.data\.on_doubt is 'skip'; use one of 'error', 'warn'"),
        ({"data": {"count": 0}}, r"config\.data\.count is 0"),
        ({"data": {"workers": -1}}, r"config\.data\.workers is -1"),
        ({"data": {"seed": -1}}, r"config\.data\.seed is -1"),
        ({"questions": {}}, r"config\.questions is empty"),
        ({"evaluation": {"batch_size": 0}}, r"config\.evaluation\.batch_size is 0"),
        (
            {"questions": {"zeroshot": {"resolutions": (0,)}}},
            r"config\.questions\.zeroshot\.resolutions is 0; it must be at least 1",
        ),
        ({"evaluation": {"part_size": 0}}, r"config\.evaluation\.part_size is 0"),
        ({"precision": "float16"}, r"config\.precision is 'float16'; use one of 'float32', 'bfloat16'"),
        ({"placement": "all"}, r"config\.placement is 'all'"),
        ({"report": {"weights": "war"}}, r"config\.report\.weights is 'war'"),
    ],
)
def test_mistakes_name_the_key_and_the_remedy(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)


FLOATS = (
    "unfrozen",
    "unfrozen_rate",
    "learning_rate",
    "scale_learning_rate",
    "layer_decay",
    "weight_decay",
    "clip_norm",
)


@pytest.mark.parametrize("key", [*FLOATS, "clip_norm", "token_std"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "nan; it must be a finite number"),
        (float("inf"), "inf; it must be a finite number"),
        (-0.5, r"-0\.5; it must be (at least|above) 0"),
        (1e30, r"1e\+30; it must be at most 1"),
    ],
)
def test_numbers_that_no_training_can_use(key, value, words):
    with pytest.raises(UserError, match=rf"^config\.train\.{key} is {words}"):
        build(train={key: value})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train": {"clip_norm": 0}}, r"config\.train\.clip_norm is 0\.0; it must be above 0"),
        ({"train": {"crop_scale": (float("nan"), 1)}}, r"config\.train\.crop_scale is nan; it must be a finite number"),
        ({"train": {"steps": 10**30}}, r"config\.train\.steps is 10+; it must be at most 2147483647"),
        (
            {"evaluation": {"batch_size": 10**9}},
            r"batch_size is 1000000000; it must be at most 1048576",
        ),
        (
            {"questions": {"zeroshot": {"resolutions": (16, 10**6)}}},
            r"config\.questions\.zeroshot\.resolutions is 1000000; it must be at most",
        ),
        ({"devices": 0}, r"config\.devices is 0; it must be at least 1"),
        ({"seed": 2**32 - 1}, r"config\.seed is 4294967295; it must be at most 4294967294"),
        ({"ablation": {"rows": (("a", {}),), "seeds": (-1,)}}, r"config\.ablation\.seeds is -1; it must be at least 0"),
        (
            {"ablation": {"rows": (("a", {}),), "paper": {"a": {"sar16": float("nan")}}}},
            r"config\.ablation\.paper\.a\.sar16 is nan; it must be a finite number",
        ),
    ],
)
def test_numbers_out_of_range(changes, words):
    with pytest.raises(UserError, match=words):
        build(**changes)


def test_every_number_has_a_range():
    def bare(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        groups = [hint for hint in hints.values() if dataclasses.is_dataclass(hint)]
        return {name for name, hint in hints.items() if hint in (int, float)} | set().union(*map(bare, groups))

    assert bare(Config) == set()
    assert set().union(*(bare(find(name)) for name in QUESTIONS)) == {"scales_at_once"}  # one of a few numbers


def test_a_message_shows_the_beginning_of_a_long_value():
    for value in (["x"] * 10**5, "x" * 10**6, {"x": ["y" * 10**6]}):
        with pytest.raises(UserError, match=r"config\.seed must be of type int") as caught:
            build(seed=value)
        assert len(str(caught.value)) < 300


@pytest.mark.parametrize(("mapping", "key"), [({"model": "x"}, "data"), ({"model": "x", "data": {}}, "data.names")])
def test_required_keys(mapping, key):
    with pytest.raises(UserError, match=f"config key {key} is missing"):
        from_mapping(Config, mapping)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "set either config.model or config.models"),
        ({"models": ("RN50:openai",)}, "set either config.model or config.models"),
        ({"model": "", "models": ("RN50:openai",), "source": "x.pt"}, "source belongs .* NAME=BACKBONE=SOURCE"),
        ({"model": "", "models": ("RN50:openai",), "name": "x"}, r"config\.name belongs .* NAME=BACKBONE=SOURCE"),
        ({"model": "", "models": ("RN50:openai",), "train": {"steps": 1}}, "tokens are trained for one backbone"),
        ({"model": "", "models": "RN50:openai"}, "config.models must be a tuple"),
    ],
)
def test_one_backbone_or_several(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)


@pytest.mark.parametrize("name", [" ", "a\nb", "a\x1b[31m", "a=b", "a/b", "a\\b", "a\u2028b", "x" * 81])
def test_names_that_a_model_cannot_have(name):
    with pytest.raises(UserError, match=r"config\.name calls a model .*; give 1 to 80 printable characters") as told:
        build(name=name)
    assert str(told.value).isprintable()


@pytest.mark.parametrize("name", ["mine", "ViT-B-16:openai@384", "größer (2)", "x" * 80])
def test_names_that_a_model_can_have(name):
    assert build(name=name).name == name


def leaves(config, prefix=""):
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, f"{prefix}{field.name}.")
        else:
            yield f"{prefix}{field.name}", value


def changed(config, path, value):
    name, _, rest = path.partition(".")
    return dataclasses.replace(config, **{name: changed(getattr(config, name), rest, value) if rest else value})


# What is not a number, a truth value or a free text.
OTHER = {
    "train.captions": 7,
    "train.remat": "full",
    "data.names": ("shapes", "letters"),
    "data.sources": {"shapes": "x"},
    "data.on_error": "skip",
    "data.on_doubt": "warn",
    "data.rgb": "before",
    "data.region": "background",
    "questions": {"zeroshot": {"resolutions": (16,)}},
    "train.buckets": ((16, 32),),
    "train.crop_scale": (0.5, 1.0),
    "ablation.rows": (("a", {}), ("b", {})),
    "ablation.seeds": (1,),
    "ablation.metrics": ("acc16",),
    "ablation.paper": {"a": {"sar16": 1.0}},
    "train.log": ("wandb",),
    "report.weights": "equal",
    "precision": "bfloat16",
    "placement": "fsdp",
    "name": "mine",
    "protocol": "lr0fm",
    "pass_order": "pillow12",
    "numerics": "as_trained",
    "devices": 1,
}


def test_the_hash_depends_on_everything_but_the_working_directory():
    # so that `tokens` can be False and `boxes` can be set
    config = build(train={"prompts": 1}, data={"region": "foreground"}, ablation={"rows": (("a", {}),)})
    several = build(model="", models=("RN50:openai", "EVA02-B-16"), data={"region": "foreground"})
    hashes = {"models": config_hash(several), "sources": config_hash(changed(several, "models", ("RN50:openai=x",)))}
    for path, value in leaves(config):
        if path == "models":
            continue
        other = OTHER.get(path)
        if other is None:
            changes = {bool: lambda one: not one, str: lambda one: one + "x", float: lambda one: one + 0.125}
            other = changes.get(type(value), lambda one: one + 1)(value)
        assert other != value
        hashes[path] = config_hash(changed(config, path, other))
    assert hashes.pop("workdir") == config_hash(config)
    assert len({config_hash(config), *hashes.values()}) == len(hashes) + 1
    assert len(config_hash(config)) == 16
    assert int(config_hash(config), 16) >= 0


def test_the_hash_is_the_same_in_every_process_and_spelling():
    assert config_hash(build()) == config_hash(build(train={"crop_scale": [0.9, 1], "steps": 0}))
    assert config_hash(build()) == config_hash(from_mapping(Config, with_defaults(dataclasses.asdict(build()))))


def test_defaults_complete_a_recipe_and_keep_its_mistakes():
    complete = with_defaults({"model": "x", "data": {"names": ("dtd",)}, "train": {"stpes": 3}, "report": 5})
    assert complete["train"]["stpes"] == 3
    assert complete["train"]["steps"] == 0
    assert complete["data"]["root"] == ""
    assert complete["report"] == 5
    with pytest.raises(UserError, match=r"train\.stpes"):
        from_mapping(Config, complete)
    recipe = lr_tk0_eva.get_config().to_dict()
    assert from_mapping(Config, with_defaults(recipe)) == from_mapping(Config, recipe)


def test_keys():
    for path, _ in leaves(build()):
        check_key(path)
    check_key("train")
    for key, hint in [
        ("trian.steps", r"did you mean train\?"),
        ("train.stpes", r"did you mean train\.steps\?"),
        ("train.steps.x", r"config\.train\.steps is a value"),
        ("", "known keys"),
    ]:
        with pytest.raises(UserError, match=f"unknown config key .*{hint}"):
            check_key(key)
