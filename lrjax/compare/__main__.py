"""`python -m lrjax.compare`."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the import below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.compare.command"))

from lrjax.compare.command import main

__all__ = ["main"]
