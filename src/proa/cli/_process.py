"""How each long-running `proa` process starts: its settings, its log, its life."""

import argparse
import dataclasses
import inspect
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeVar, cast

from proa.app import App, logs, run, settings
from proa.app.settings import setting

S = TypeVar("S")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """Settings that every long-running `proa` process has beside its own."""

    config: Path | None = setting(None, help="a YAML file with any of these settings")
    log_level: logs.Level = setting("info", help="the least level that is logged")
    log_format: logs.Format = setting(
        "auto", help="how logs look; auto: console on a terminal, json otherwise"
    )


def with_process_settings(cls: type[S]) -> type[S]:
    """A part's own settings, followed by those of every process."""
    both = type(cls.__name__, (ProcessSettings, cls), {"__doc__": cls.__doc__})
    return cast("type[S]", dataclasses.dataclass(frozen=True, kw_only=True)(both))


def serve(
    program: str, cls: type[S], arguments: Sequence[str], body: Callable[[App, S], Awaitable[int | None]]
) -> int:
    """Read a process's settings, start its log, and live until SIGTERM or Ctrl-C; returns the exit code."""
    combined = with_process_settings(cls)
    parser = argparse.ArgumentParser(prog=program, description=_first_line(body), allow_abbrev=False)
    settings.add_arguments(parser, combined)
    words = parser.parse_args(arguments)
    file = getattr(words, "config", None) or os.environ.get("PROA_CONFIG")
    chosen = settings.resolve(combined, words, file=Path(file) if file else None)
    process = cast("ProcessSettings", chosen)
    logs.configure(level=process.log_level, format=process.log_format)
    return run(lambda app: body(app, chosen))


def _first_line(described: object) -> str:
    return (inspect.getdoc(described) or "").partition("\n")[0]
