"""`proa restore FILE`."""

from proa.cli._backup import restoring as main

__all__ = ["main"]
