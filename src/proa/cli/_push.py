"""`proa push FILE REF`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from proa.app import App, run
from proa.oci import Reference, RegistryClient, push_module


def main(arguments: Sequence[str]) -> int:
    """Push a WebAssembly file as an OCI artifact and print its digest."""
    parser = argparse.ArgumentParser(
        prog="proa push", description="Push a WebAssembly file to a registry as an OCI artifact."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a WebAssembly module")
    parser.add_argument("reference", metavar="REF", help="where to, for example localhost:5050/hello:1")
    chosen = parser.parse_args(arguments)
    reference = Reference.parse(chosen.reference)

    async def push(app: App) -> None:
        del app
        async with RegistryClient() as client:
            digest = await push_module(client, chosen.file, reference)
        sys.stdout.write(f"{reference}@{digest}\n" if reference.digest is None else f"{reference}\n")

    return run(push)
