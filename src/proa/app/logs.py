"""Structured logs and timed steps.

Ask for a logger at the top of a module, log events with fields, and wrap what takes time in a step::

    log = logs.get_logger(__name__)

    with log.step("pulled image", image=reference) as fields:
        fields["bytes"] = await pull(reference)

A program calls `configure` once. From then on events go through structlog to stderr: an indented tree on a
terminal, JSON lines otherwise; so does what other libraries send to `logging`. Without `configure` (Proa used
as a library) events go to `logging`, like any library's.

Guarantees: a log call never blocks on the stream and never raises; what was queued is written at exit. Not
guaranteed: every line, when lines come faster than the stream takes them for long; what is lost is counted.
"""

import asyncio
import atexit
import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, Literal, TextIO

from proa.app._log_sink import Sink, Step, steps

__all__ = ["Format", "Level", "Logger", "configure", "flush", "get_logger", "step"]

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["auto", "console", "json"]

_LEVELS: dict[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _emit_to_logging(level: int, name: str, event: str, fields: dict[str, Any]) -> None:
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        from proa.app._log_render import inline, masked

        exc_info = fields.pop("exc_info", None)
        text = " ".join([event, *(f"{key}={inline(value)}" for key, value in masked(fields).items())])
        logger.log(level, "%s", text, exc_info=exc_info)


_sink = Sink(logging.DEBUG, _emit_to_logging)


class Logger:
    """A named source of events, with fields that every event of it carries.

    Fields are keyword arguments of any type; `Secret` values and fields named `token`, `password` and the
    like are masked. `exc_info=True` adds the traceback of the exception being handled.
    """

    __slots__ = ("_context", "name")

    def __init__(self, name: str, context: dict[str, Any] | None = None) -> None:
        self.name = name
        self._context = context or {}

    def bind(self, **fields: Any) -> "Logger":
        """Return a logger whose events carry these fields too."""
        return Logger(self.name, self._context | fields)

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log what helps to find a defect."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log what an operator wants to know in normal times."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log what went wrong and was dealt with."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log what went wrong and somebody must look at."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._log(logging.ERROR, event, {"exc_info": True, **fields})

    @contextlib.contextmanager
    def step(self, event: str, /, **fields: Any) -> Iterator[dict[str, Any]]:
        """Time a step: its start is logged at debug level, its end at info with the duration in seconds.

        Events inside are nested under it, in this task and, until it ends, in those started from it. A step
        that raises is logged as a warning with the error, and the exception goes on; a cancelled one at debug
        level.

        Yields:
            The fields logged at the end; add what is learned on the way.
        """
        outer = steps.get()
        self._log(logging.DEBUG, f"{event}: started", fields)
        current = Step(event)
        steps.set((*outer, current))
        started = time.perf_counter()
        level, outcome = logging.INFO, event
        try:
            yield fields
        except (asyncio.CancelledError, GeneratorExit):
            level, outcome = logging.DEBUG, f"{event}: cancelled"
            raise
        except BaseException as error:
            level, outcome = logging.WARNING, f"{event}: failed"
            fields["error"] = str(error) or type(error).__name__
            raise
        finally:
            # Not reset(token): a step inside an async generator may end in another context than it began in.
            current.over = True
            steps.set(outer)
            self._log(level, outcome, {**fields, "duration": round(time.perf_counter() - started, 6)})

    def _log(self, level: int, event: str, fields: dict[str, Any]) -> None:
        sink = _sink
        if level >= sink.level:
            sink.emit(level, self.name, event, {**self._context, **fields})


def get_logger(name: str) -> Logger:
    """Return a logger; by convention `name` is the module's `__name__`. Costs nothing until used."""
    return Logger(name)


def step(event: str, /, **fields: Any) -> contextlib.AbstractContextManager[dict[str, Any]]:
    """Time a step of the logger `proa`; see `Logger.step`."""
    return _PROA.step(event, **fields)


_PROA = Logger("proa")


def configure(level: Level = "info", format: Format = "auto", stream: TextIO | None = None) -> None:  # noqa: A002
    """Send all logs of this process, those of `logging` and structlog included, to one stream.

    Args:
        level: The least important level that is shown.
        format: `console` is a tree for people, `json` is lines for machines, `auto` is `console` when the
            stream is a terminal. Colours appear on terminals unless `NO_COLOR` is set (see no-color.org).
        stream: Standard error by default.

    Calling it again replaces the earlier configuration, after flushing what was queued. A process that forks
    without exec must call it again in the child: threads are not inherited.
    """
    from proa.app._log_pipeline import start_pipeline

    stream = stream if stream is not None else sys.stderr
    terminal = _is_terminal(stream)
    console = format == "console" or (format == "auto" and terminal)
    _sink.close()
    use_sink(
        start_pipeline(
            level=_LEVELS[level],
            stream=stream,
            console=console,
            colours=terminal and not os.environ.get("NO_COLOR"),
        )
    )
    atexit.unregister(flush)
    atexit.register(flush)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def use_sink(sink: Sink) -> Sink:
    """Replace the sink and return the one before."""
    global _sink
    before, _sink = _sink, sink
    return before


def flush(timeout: float = 2.0) -> bool:
    """Wait until everything logged so far is written; False when `timeout` seconds did not suffice.

    It blocks: call it when the program ends, not on a running event loop. `configure` arranges it at exit.
    """
    return _sink.flush(timeout)
