"""`python -m landmarks` is the `landmarks` command."""

import sys

from landmarks.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
