"""`python -m lrjax.report`."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":  # before the import below, so that Ctrl-C during these seconds is one line too
    sys.exit(start("lrjax.report.command"))

from lrjax.report.command import main

__all__ = ["main"]
