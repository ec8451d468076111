"""`python -m lrjax.report`."""

import sys

from lrjax.report.command import main

if __name__ == "__main__":
    sys.exit(main())
