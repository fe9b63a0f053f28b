"""`proa backup FILE` and `proa restore FILE`."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from proa.controlplane.storage import back_up, restore


def main(arguments: Sequence[str]) -> int:
    """Write a backup of a cluster's state, also while its server runs."""
    chosen = _parse("backup", "Write the state of a cluster to one file, also while it runs.", arguments)
    size = back_up(chosen.data_dir, chosen.file)
    sys.stdout.write(f"wrote {chosen.file}: {size / 1e6:.1f} MB; it holds the cluster's keys\n")
    return 0


def restoring(arguments: Sequence[str]) -> int:
    """Put a backup in the place of a cluster's state."""
    chosen = _parse("restore", "Put a backup in the place of a stopped cluster's state.", arguments)
    count = restore(chosen.file, chosen.data_dir)
    sys.stdout.write(f"restored {count:,} objects to {chosen.data_dir}\n")
    return 0


def _parse(name: str, description: str, arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"proa {name}", description=description, allow_abbrev=False)
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("PROA_DATA_DIR", ".proa")),
        help="where the cluster keeps its state (default: $PROA_DATA_DIR, or .proa)",
    )
    return parser.parse_args(arguments)
