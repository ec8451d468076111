"""`python -m lrjax.report`."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":
    sys.exit(start("lrjax.report.command"))
