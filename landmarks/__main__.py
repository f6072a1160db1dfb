"""`python -m landmarks` is the `landmarks` command."""

import sys

from landmarks.cli import main

if __name__ == "__main__":
    sys.exit(main())
