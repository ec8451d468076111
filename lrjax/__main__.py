"""The one command line: `lrjax VERB ...`, or `python -m lrjax VERB ...` where the package is not installed."""

import argparse
import difflib
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from lrjax import __version__
from lrjax.command_line import Parser, called, run, start
from lrjax.errors import UserError

VERBS = {
    "run": ("lrjax.main", "evaluate and train what a recipe says, and report"),
    "report": ("lrjax.report", "tables and pages of your runs among the published results"),
    "compare": ("lrjax.compare", "the differences of two runs, models or variants, paired and tested"),
    "models": ("lrjax.models", "list the backbones"),
    "data": ("lrjax.data", "check the data sets of a recipe, or list those that are known"),
    "convert": ("checkpoints_conv", "convert a checkpoint of another program, or convert it back"),
    "study": ("lrjax.leaderboard.studies", "studies of the published results and your own"),
    "question": ("lrjax.questions.NAME", "what one question has to tell of stored results"),
}
"""By verb what `python -m` calls the command, in which NAME is the word behind the verb, and one line of help."""


def script() -> int:
    """Runs the command line of the process; as with `python -m`, modules of the working directory are found."""
    if not sys.flags.safe_path:
        sys.path.append("")
    return main()


def main(arguments: Sequence[str] | None = None, *, program: str = "lrjax") -> int:
    """Runs a verb, for which nothing is imported that it does not need.

    Args:
        arguments: command-line arguments; None takes those of the process.
        program: how this command was called.

    Returns:
        Exit status: that of the verb, or 2 where there is no such verb.
    """
    given = tuple(sys.argv[1:] if arguments is None else arguments)
    found: list[tuple[str, int]] = []
    status = run(lambda: found.append(_command(given, program)))
    if not found:
        return status
    [(module, words)] = found
    names = {name: f"{program} {verb}" for verb, (name, _) in VERBS.items()}
    with called(names | {module: " ".join((program, *given[:words]))}):
        return start(module, given[words:])


def _command(given: Sequence[str], program: str) -> tuple[str, int]:
    """The command that is asked for, and how many words say so."""
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {told}" for verb, (_, told) in VERBS.items())
    verb = _choice(given[:1], VERBS, program, "VERB", f"verbs, each with a --help of its own:\n{verbs}")
    module, words = VERBS[verb][0], 1
    if module.endswith(".NAME"):
        package = module.removesuffix(".NAME")
        names, words = _commands_of(package), 2
        told = f"names: {', '.join(names)}"
        module = f"{package}.{_choice(given[1:2], names, f'{program} {verb}', 'NAME', told)}"
    return module, words


def _commands_of(package: str) -> list[str]:
    """What has a `__main__` below a package of `lrjax`, found without importing it."""
    folder = Path(__file__).parents[1].joinpath(*package.split("."))
    return sorted(".".join(path.parent.relative_to(folder).parts) for path in folder.rglob("*/__main__.py"))


def _choice(given: Sequence[str], known: Iterable[str], program: str, what: str, told: str) -> str:
    parser = Parser(
        prog=program,
        usage=f"{program} {what} ...",
        description=f"lrjax {__version__}: measures and mends the robustness of vision-language models.",
        epilog=told,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lrjax {__version__}")
    parser.add_argument("word", metavar=what, nargs="?", help=argparse.SUPPRESS)
    word = parser.parse_args(given).word
    if word is None:
        parser.print_help()
        parser.exit()
    if word not in known:
        close = difflib.get_close_matches(word, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"use one of {', '.join(known)}"
        raise UserError(f"there is no {program} {word}; {hint}")
    return word


if __name__ == "__main__":
    sys.exit(main(program="python -m lrjax"))
