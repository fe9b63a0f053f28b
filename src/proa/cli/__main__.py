"""`python -m proa.cli` is `proa`."""

import sys

from proa.cli import main

sys.exit(main())
