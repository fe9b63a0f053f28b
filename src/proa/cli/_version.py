"""`proa version`."""

import platform
import sys
from collections.abc import Sequence
from importlib.metadata import version

import proa


def main(arguments: Sequence[str]) -> int:
    """Print Proa's version and what decides how guests run."""
    del arguments
    sys.stdout.write(
        f"proa {proa.__version__} (Python {platform.python_version()}, wasmtime {version('wasmtime')})\n"
    )
    return 0
