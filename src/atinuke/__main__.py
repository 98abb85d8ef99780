"""`python -m atinuke`: the command line, also where the script is not on the path."""

import sys

from atinuke.cli import main

if __name__ == "__main__":
    sys.exit(main())
