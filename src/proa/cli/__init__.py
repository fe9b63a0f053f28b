"""The `proa` command: wiring, nothing else.

Each sub-command is a module with `main(arguments) -> int` that reads its settings and hands them to a
package; it is imported only when it is called, so that `proa version` costs nothing. Start reading at
`_commands`.

Exit codes: 0 when it did what was asked, 1 when it could not, 2 when it was asked wrongly, 130 after Ctrl-C;
`proa run` returns the guest's own code.
"""

from proa.cli._commands import main

__all__ = ["main"]
