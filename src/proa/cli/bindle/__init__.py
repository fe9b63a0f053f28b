"""`proa bindle`: every sub-command of Bindle's reference client, its server, and what these lacked.

`_options` declares the flags that many share and makes clients of them; each other module is one group of
sub-commands: `_fetching`, `_storing`, `_local`, `_signing`, `_registry`, `_serving`; `_output` draws.
"""

import sys
from collections.abc import Sequence
from importlib import import_module

from proa.app import run
from proa.cli.bindle._parser import make_parser

__all__ = ("main",)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    words = list(arguments)
    if words[:1] == ["serve"]:
        from proa.cli.bindle._serving import main as serve

        return serve(words[1:])
    parser = make_parser()
    chosen = parser.parse_args(words)
    if chosen.run is None:
        parser.print_help(sys.stderr)
        return 2
    module, _, function = chosen.run.partition(".")
    command = getattr(import_module(f"{__name__}.{module}"), function)
    return run(lambda app: command(app, chosen))
