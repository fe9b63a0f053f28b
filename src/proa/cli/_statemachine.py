"""`proa statemachine draw MODULE:NAME`: a machine as Mermaid text or SVG."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

from proa.app import ProaError
from proa.statemachine import Machine, State, mermaid, svg


class DrawError(ProaError):
    """There is nothing of that name that can be drawn."""

    exit_code: ClassVar[int] = 2


def main(arguments: Sequence[str]) -> int:
    """Draw what `arguments` name."""
    parser = argparse.ArgumentParser(prog="proa statemachine")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    draw = commands.add_parser("draw", help="draw a machine", description="Draw a machine.")
    draw.add_argument(
        "machine",
        metavar="MODULE:NAME",
        help="a Machine, an Operator, or the State that a machine begins with",
    )
    draw.add_argument(
        "--format", choices=("mermaid", "svg"), help="by default what --output ends in, or mermaid"
    )
    draw.add_argument("--output", "-o", type=Path, metavar="FILE", help="by default standard output")
    chosen = parser.parse_args(arguments)
    as_svg = chosen.format == "svg" or (
        chosen.format is None and chosen.output and chosen.output.suffix == ".svg"
    )
    text = (svg if as_svg else mermaid)(find(chosen.machine))
    _write(text, chosen.output)
    return 0


def find(place: str) -> Machine[Any]:
    """Return the machine at `module:name`.

    Raises:
        DrawError: there is none.
        MachineError: it is not well defined.
    """
    module_name, _, name = place.partition(":")
    if not (module_name and name):
        raise DrawError(f"{place!r} names no machine: write MODULE:NAME, such as examples.moose:MOOSE")
    sys.path.insert(0, str(Path.cwd()))
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise DrawError(f"cannot import {module_name!r}: {error}") from error
    finally:
        sys.path.pop(0)
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    found = getattr(found, "machine", found)
    if isinstance(found, type) and issubclass(found, State):
        return Machine(found.__name__, initial=found, states=())
    if not isinstance(found, Machine):
        raise DrawError(f"{place} is no Machine, Operator or State")
    return found


def _write(text: str, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DrawError(f"cannot write {output}: {error.strerror}") from error
