"""The layers, checked by walking the imports, and a gate against code that no longer imports or resolves."""

import ast
import dataclasses
import graphlib
import importlib
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import configs
from configs import lr_tk0_eva, retrieval, zoom
from lrjax.config import Config
from lrjax.data.datasets import dataset_names, get_dataset, open_training_source, prompts_hash
from lrjax.models import zoo
from lrjax.models.spec import ResNetSpec
from lrjax.questions import registry
from lrjax.questions.case import Setting
from lrjax.runs.ablation import row_configs
from lrjax.runs.config_reader import from_mapping, read_questions
from lrjax.train.trainable import check_method
from lrjax.weights.naming import run_models

ROOT = Path(__file__).parents[1]
PACKAGES = ("lrjax", "checkpoints_conv", "configs")
WINGS = (
    ("errors", "types"),
    ("checks",),
    ("config", "command_line", "sharding", "ops"),
    ("metrics", "results", "display"),
    ("data",),
    ("models",),
    ("weights",),
    ("leaderboard",),
    ("questions",),
    ("train",),
    ("report", "compare"),
    ("api",),
    ("runs",),
    ("main",),
)
"""Modules and packages of `lrjax`, each of which imports those of the lines above, and itself."""
RANKS = {f"lrjax.{name}": rank for rank, names in enumerate(WINGS) for name in names} | {"lrjax": 0}
SHARED = ("base", "bench", "case", "classifiers", "headline", "pages", "registry", "sweep_rows")
"""What questions share; apart from that they do not know each other."""
CONVERTER_MAY_IMPORT = {
    "numpy",
    "ml_dtypes",
    "safetensors",
    "torch",
    "checkpoints_conv",
    "lrjax.errors",
    "lrjax.checks.finite",
    "lrjax.checks.parse",
}
FLAGS = ("absl", "ml_collections")
ABLATIONS = ("table2", "table4", "table5", "table6", "table14", "images_per_caption")


def module_files():
    files = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in files}


def rank(module):
    """The line of `WINGS` of a module; a command stands above all."""
    if module.endswith(".__main__"):
        return len(WINGS)
    return RANKS.get(".".join(module.split(".")[:2]))


def question(module):
    """The question that a module belongs to; None for what they share, and outside of their wing."""
    parts = module.split(".")
    return parts[2] if wing(module) == "questions" and len(parts) > 2 and parts[2] not in SHARED else None


def wing(module):
    return module.split(".")[1] if "." in module else module


def within(module, package):
    return module == package or module.startswith(f"{package}.")


def is_put_off(node):
    """Whether what a node holds does not run when its module is imported."""
    functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
    return isinstance(node, functions) or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")


def imports(name, source, known):
    """Yields (module, line, inside a function or for types alone) of every import; names that are modules count as
    modules."""
    tree = ast.parse(source)
    inside = {node for outer in ast.walk(tree) if is_put_off(outer) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}:{node.lineno}: relative import"
            deeper = [f"{node.module}.{alias.name}" for alias in node.names]
            targets = [target if target in known else node.module for target in deeper]
            # "from absl import flags" is an import of absl.flags, which is not among the known modules
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("importlib.import_module", "__import__"):
            targets = [one.value for one in node.args[:1] if isinstance(one, ast.Constant)]
        else:
            continue
        yield from ((target, node.lineno, node in inside) for target in dict.fromkeys(targets))


def violations(sources):
    """Checks every import of the modules {name: source} and returns one line per broken rule."""
    found, graph = [], {}
    for name, source in sources.items():
        own = rank(name) if within(name, "lrjax") else None
        if within(name, "lrjax") and own is None:
            found.append(f"{name}: in no wing")
            continue
        graph[name] = set()
        for target, line, inside in imports(name, source, sources):
            if (name, target) == ("lrjax", "lrjax.api") and inside:  # hands the public names on, when one is used
                continue
            place = f"{name}:{line}: imports {target}"
            top = target.partition(".")[0]
            if target in sources and target != name:
                graph[name].add(target)
            if top == "torch" and (not within(name, "checkpoints_conv") or not inside):
                found.append(f"{place}; torch is for checkpoints_conv, inside functions")
            if own is None:
                main = name == "checkpoints_conv.__main__"
                foreign = top not in sys.stdlib_module_names
                allowed = target in CONVERTER_MAY_IMPORT or top in CONVERTER_MAY_IMPORT
                if within(name, "checkpoints_conv") and foreign and not allowed and not main:
                    found.append(f"{place}; the converter knows names and shapes only")
                continue
            if top in ("configs", "experiments", "tests"):
                found.append(f"{place}; the library knows no recipes")
            if top == "checkpoints_conv" and not within(name, "lrjax.weights"):
                found.append(f"{place}; only the loading of weights converts")
            if top == "flax" and wing(name) in ("ops", "metrics", "data", "results", "display"):
                found.append(f"{place}; {wing(name)} is pure arrays")
            if top in FLAGS and name != "lrjax.runs.recipes":
                found.append(f"{place}; only lrjax.runs.recipes touches flags")
            if top == "lrjax" and not (wing(target) == wing(name) or (rank(target) is not None and rank(target) < own)):
                found.append(f"{place}; {wing(name)} stands below or beside it")
            if question(target) and wing(name) == "questions" and question(name) != question(target):
                found.append(f"{place}; questions are independent of each other")
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        found.append(f"cycle: {' -> '.join(error.args[1])}")
    return found


def test_wings_point_down():
    assert violations({name: path.read_text() for name, path in module_files().items()}) == []


def test_text_leaves_the_program_through_one_function():
    printing = {name for name, path in module_files().items() if re.search(r"(?<![\w.])print\(", path.read_text())}
    assert printing == {"lrjax.command_line", "lrjax.sharding"}  # the latter of a traceback


def test_every_wing_exists_and_few_modules_stand_beside_them():
    assert RANKS.keys() <= module_files().keys()
    assert len([name for name in RANKS if module_files()[name].name != "__init__.py"]) <= 8


@pytest.mark.parametrize("package", ["lrjax", "checkpoints_conv"])
def test_types_ship_with_the_package(package):
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    assert (ROOT / package / "py.typed").exists() and "py.typed" in shipped[package]


@pytest.mark.parametrize(
    ("name", "source", "complaint"),
    [
        ("lrjax.ops.bad", "from lrjax.models import zoo", "ops stands below or beside"),
        ("lrjax.ops.bad", "import lrjax.main", "ops stands below or beside"),
        ("lrjax.ops.bad", "def f():\n    from lrjax.runs import suite", "ops stands below or beside"),
        ("lrjax.ops.bad", "def f():\n    from flax import nnx", "pure arrays"),
        ("lrjax.models.predict", "def f():\n    import torch.nn", "torch is for checkpoints_conv"),
        ("lrjax.models.predict", "import importlib\nimportlib.import_module('torch')", "torch is for checkpoints_conv"),
        ("lrjax.runs.suite", "from configs.common import LR0FM_DATASETS", "knows no recipes"),
        ("lrjax.runs.suite", "import checkpoints_conv.rules", "only the loading of weights converts"),
        ("lrjax.config", "from absl import flags", "touches flags"),
        ("lrjax.runs.suite", "def f():\n    from ml_collections import config_flags", "touches flags"),
        ("lrjax.novelty", "", "in no wing"),
        ("lrjax.display.bad", "from lrjax.results import store", "display stands below or beside"),
        ("lrjax.questions.bad", "from lrjax.questions.zoom import views", "questions are independent"),
        ("lrjax.questions.base", "from lrjax.questions.zeroshot import ZeroShot", "questions are independent"),
        ("checkpoints_conv.bad", "import torch", "inside functions"),
        ("checkpoints_conv.bad", "from lrjax.models import zoo", "names and shapes only"),
        ("checkpoints_conv.bad", "def f():\n    import jax", "names and shapes only"),
    ],
)
def test_the_walk_finds_bad_imports(name, source, complaint):
    known = ("models.zoo", "main", "runs.suite", "results.store", "questions.zoom.views", "questions.zeroshot")
    sources = {f"lrjax.{one}": "" for one in known} | {name: source}
    found = violations(sources)
    assert len(found) == 1
    assert complaint in found[0]
    assert name in found[0]


def test_the_walk_finds_cycles():
    sources = {
        "lrjax.ops.a": "from lrjax.ops import b",
        "lrjax.ops.b": "def f():\n    from lrjax.ops.c import x",
        "lrjax.ops.c": "import lrjax.ops.a",
    }
    assert [one.partition(":")[0] for one in violations(sources)] == ["cycle"]
    assert violations(sources | {"lrjax.ops.c": "import flaxen"}) == []


def test_the_walk_leaves_good_imports_alone():
    sources = {
        "lrjax.weights.checkpoint": "def f():\n    from checkpoints_conv import x\nfrom lrjax.errors import UserError",
        "lrjax.runs.recipes": "from absl import flags\nfrom lrjax.errors import x\nfrom ml_collections import config",
        "lrjax.main": "from lrjax.runs import suite",
        "lrjax.runs.suite": "from lrjax import questions\nfrom flax import nnx",
        "lrjax.questions": "import jax",
        "checkpoints_conv.readers": "def f():\n    import torch\nimport numpy, re\nfrom lrjax.errors import UserError",
        "checkpoints_conv.__main__": "def f():\n    from lrjax.models import zoo",
    }
    assert violations(sources) == []


def test_everything_compiles():
    for folder in (*PACKAGES, "experiments", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            compile(path.read_text(), str(path), "exec")


@pytest.mark.parametrize("name", module_files())
def test_every_module_imports(name):
    importlib.import_module(name)


def recipes():
    for module in pkgutil.iter_modules(configs.__path__):
        if hasattr(importlib.import_module(f"configs.{module.name}"), "get_config"):
            yield module.name, ""
    for model in lr_tk0_eva.BACKBONES:
        yield "lr_tk0_eva", model
    yield "sweep", "lr0fm"
    yield "imagenet_hard", "4k"
    yield "zoom_hard", "imagenet"
    for recipe in (retrieval, zoom):
        for dataset in recipe.DATASETS:
            yield recipe.__name__.removeprefix("configs."), dataset
    for name in ABLATIONS:
        yield name, "embedded"


@pytest.mark.parametrize(("name", "argument"), recipes())
def test_every_recipe_resolves(name, argument):
    get_config = importlib.import_module(f"configs.{name}").get_config
    config = from_mapping(Config, (get_config(argument) if argument else get_config()).to_dict())
    shipped = argument == "embedded" if name in ABLATIONS else not argument and name != "imagenet_hard"
    if name in ABLATIONS:
        for row in row_configs(config).values():
            check_method(row.train, zoo.get(row.model))
            assert zoo.get(row.model).hub_id or row.source
            assert row.source == ("embedded" if shipped else "")
            if row.train.root == "procedural":
                open_training_source(
                    "procedural", count=row.train.count, seed=1, images_per_caption=row.train.images_per_caption
                )
    for dataset in config.data.names:
        assert get_dataset(dataset).name == dataset
    for model in run_models(config):
        assert model.name == model.row.name and model.release
        for one in read_questions(config).values():
            one.check(Setting(model=model.name, variant="vanilla", backbone=model.row, datasets=()))
        assert model.source == ("embedded" if shipped else model.row.hub_id)
        assert model.source
        # published numbers are those of Pillow 12
        assert model.row.preprocess.pass_order == ("pillow13" if shipped else "pillow12")


@pytest.mark.parametrize("name", registry.QUESTIONS)
def test_every_question_keeps_the_contract(name):
    kind = registry.find(name)
    assert isinstance(kind.version, int)
    assert kind.headline in kind.higher_is_better
    assert kind.choosing <= {field.name for field in dataclasses.fields(kind)}
    assert kind.__doc__


def test_every_data_set_has_classes_and_prompts_or_captions():
    assert len(dataset_names()) >= 21
    for name in dataset_names():
        dataset = get_dataset(name)
        assert (len(dataset.classes) >= 2) != dataset.captioned
        assert all(template.count("{}") == 1 for template in dataset.templates)
        assert prompts_hash(name) == prompts_hash(dataset)


def test_every_backbone_divides_into_heads_and_patches():
    for name, row in zoo.BACKBONES.items():
        assert zoo.get(name) is row
        assert row.name == name
        image, text = row.spec.image, row.spec.text
        # SigLIP SO400M ignores 6 pixels at the border of 384
        assert image.size % image.step == 0 or name == "ViT-SO400M-14-SigLIP-384:webli"
        for blocks in (text.blocks, *([] if isinstance(image, ResNetSpec) else [image.blocks])):
            assert blocks.width % blocks.heads == 0


def test_files_are_small():
    tables = {ROOT / "lrjax" / "models" / "backbones.py"}
    files = [path for folder in (*PACKAGES, "experiments", "tests") for path in (ROOT / folder).rglob("*.py")]
    lengths = {path: len(path.read_text().splitlines()) for path in files if path not in tables}
    assert {str(path.relative_to(ROOT)): length for path, length in lengths.items() if length > 450} == {}


def test_the_program_needs_neither_torch_nor_tensorflow():
    code = (
        "import sys, lrjax.main; "
        "print(sorted(sys.modules.keys() & {'torch', 'tensorflow', 'tensorflow_datasets', 'matplotlib'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
