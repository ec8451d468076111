"""`python -m lrjax.compare`."""

import sys

from lrjax.command_line import start

if __name__ == "__main__":
    sys.exit(start("lrjax.compare.command"))
