"""`python -m merzoo`, the same as `merzoo`."""

from __future__ import annotations

import sys

from merzoo.cli import main

if __name__ == "__main__":
    sys.exit(main())
