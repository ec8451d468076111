"""Builds a data set of the images that no zoom view of any model gets right, and scores models on it by origin.

python -m lrjax.questions.zoom.hard build RESULTS_DIR --out DIR     from results of the evaluator 'zoom'
python -m lrjax.questions.zoom.hard score RESULTS_DIR               from results on DIR/hard.yaml, or on imagenet_hard

A file for --review is {"ill_posed": [NAME, ...], "reviews": {NAME: {"first": [ANSWER, ANSWER, ANSWER], "second": []}}};
a NAME is that of a picture in DIR/images without its suffix, such as "imagenet+fog-3/12", and an ANSWER is "accept",
"reject" or "not sure". Ill-posed images are taken out; one with reviews stays if all three of the first group accept
it, or two of them and everyone of the second group, at least one.
"""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the imports below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.questions.zoom.hard.__main__"))

import argparse
from collections.abc import Sequence
from pathlib import Path

from lrjax.command_line import Parser, run, say
from lrjax.data.dataset import Dataset
from lrjax.data.reopen import open_again
from lrjax.display.tables import Table, print_tables
from lrjax.errors import UserError
from lrjax.questions.zoom.hard.construction import CONFUSABLE_CLASSES, HardImage, Refinement, hard_images, refine
from lrjax.questions.zoom.hard.folder import write_folder
from lrjax.questions.zoom.hard.manifest import Manifest, read_reviews
from lrjax.questions.zoom.hard.score import origins_table
from lrjax.questions.zoom.stored import by_dataset, common_images, load_tables
from lrjax.results.store import find_samples, read_rows


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: command line arguments; default those of the process.

    Returns:
        Exit status, see `command_line.run`.
    """

    def command() -> None:
        parsed = _parser().parse_args(arguments)
        parsed.command(parsed)

    return run(command, interrupted="interrupted; run the same command again to continue")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m lrjax.questions.zoom.hard",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="build|score")
    build = commands.add_parser("build", help="write a hard set as a folder, a data set of config.data.names")
    build.add_argument("results", nargs="+", metavar="RESULTS_DIR", help="directory with results of 'zoom'")
    build.add_argument("--out", required=True, metavar="DIR", help="the folder to write")
    build.add_argument("--name", default="hard", help="name of the data set (default: hard)")
    build.add_argument("--dataset", action="append", metavar="NAME", help="only from this data set; may be repeated")
    build.add_argument("--review", metavar="FILE", help="JSON file of ill-posed images and reviews")
    build.add_argument(
        "--drop-confusable",
        action="store_true",
        help="leave out the classes that ImageNet-Hard leaves out; for the 1000 classes of ImageNet",
    )
    build.add_argument("--newest", action="store_true", help="of several tables of one kind take the newest")
    build.set_defaults(command=_build)
    score = commands.add_parser("score", help="split accuracies by the data sets that images come from")
    score.add_argument("results", nargs="+", metavar="RESULTS_DIR", help="directory with results of 'zeroshot'")
    score.set_defaults(command=_score)
    return parser


def _build(parsed: argparse.Namespace) -> None:
    grouped = by_dataset(load_tables(parsed.results, duplicates="newest" if parsed.newest else "error"))
    if parsed.dataset is not None:
        grouped = {name: tables for name, tables in grouped.items() if name in parsed.dataset}
    if missing := sorted(set(parsed.dataset or ()) - grouped.keys()):
        raise UserError(f"there is no zoom table on {missing[0]}; leave --dataset out, or evaluate it")
    opened = {name: open_again(tables[0].images) for name, tables in grouped.items()}
    like = max((dataset for dataset, _ in opened.values()), key=lambda dataset: len(dataset.classes))
    if parsed.drop_confusable and len(like.classes) != 1000:
        raise UserError(f"{like.name} does not have ImageNet's 1000 classes; leave --drop-confusable out")
    found: list[HardImage] = []
    for name, tables in grouped.items():
        class_ids = _class_ids(opened[name][0], like)
        found += hard_images(
            name, common_images(tables), index=tables[0].index, labels=tables[0].labels, class_ids=class_ids
        )
    counts = {name: len(tables[0].index) for name, tables in grouped.items()}
    ill_posed, reviews = read_reviews(parsed.review) if parsed.review else ((), {})
    confusable = CONFUSABLE_CLASSES if parsed.drop_confusable else ()
    refinement = refine(found, ill_posed=ill_posed, reviews=reviews, confusable=confusable)
    if not refinement.images:
        base = next(iter(grouped)).partition("+")[0]
        raise UserError(
            f"of {sum(counts.values())} images {len(found)} are right under no view, and none of these is left; "
            f"evaluate more images, or corrupted ones such as {base}+fog-5"
        )
    manifest = Manifest(
        name=parsed.name,
        models=tuple(sorted({table.name for tables in grouped.values() for table in tables})),
        sources={name: tables[0].images for name, tables in grouped.items()},
        refinement=refinement,
    )
    sources = {name: source for name, (_, source) in opened.items()}
    path = write_folder(Path(parsed.out), manifest, sources=sources, like=like)
    print_tables([_steps_table(refinement, found, counts)])
    say(f"\nwrote {len(refinement.images)} images to {path.parent}; evaluate on them with --config.data.names={path}")


def _score(parsed: argparse.Namespace) -> None:
    print_tables([origins_table(read_rows(parsed.results), find_samples(parsed.results))])


def _class_ids(dataset: Dataset, like: Dataset) -> Sequence[int] | None:
    """The class of the set that each label of a data set becomes; None where it stays."""
    if dataset.classes == like.classes:
        return None
    ids = dataset.indices or ()
    if [like.classes[one] for one in ids if one < len(like.classes)] != list(dataset.classes):
        raise UserError(
            f"the classes of {dataset.name} are not among those of {like.name}; build a set of each with --dataset"
        )
    return ids


def _steps_table(refinement: Refinement, found: Sequence[HardImage], counts: dict[str, int]) -> Table:
    steps = ", ".join(f"{count} {what}" for what, count in refinement.steps)
    rows = []
    for dataset, count in counts.items():
        hard, kept = (sum(one.dataset == dataset for one in images) for images in (found, refinement.images))
        rows.append((dataset, count, hard, kept, 100 * hard / count))
    return Table(
        title="Hard images by origin",
        caption=f"Hard: right under no view of any model, in number and in percent. Images by step: {steps}.",
        header=("Data set", "Images", "Hard", "Kept", "Hard, percent"),
        rows=tuple(rows),
        labels=1,
    )
