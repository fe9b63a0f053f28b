"""Wires structlog, `logging` and the writer thread together; loaded only by programs that configure logs."""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Final, TextIO

from proa.app import _log_render
from proa.app._log_sink import Sink, current_steps
from proa.app._log_writer import Writer

__all__ = ["start_pipeline"]


@contextmanager
def _seeming_absent(module: str) -> Iterator[None]:
    """Has imports of a module that is not loaded yet fail."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]  # as the import system documents it
    try:
        yield
    finally:
        del sys.modules[module]


with _seeming_absent("rich"):  # which structlog loads for a renderer that we don't use: 150 ms and 7 MB
    import structlog

_TAKEN: Final = frozenset({"event", "level", "logger", "self", "steps", "time"})
"""Names that a field cannot have; they get an underscore."""


def start_pipeline(*, level: int, stream: TextIO, console: bool, colours: bool) -> Sink:
    """Configure structlog and `logging` to render events and queue them for the stream."""

    def render(event: MutableMapping[str, Any]) -> str:
        return (
            _log_render.render_console(event, colours=colours) if console else _log_render.render_json(event)
        )

    def dropped_line(count: int) -> str:
        return render({
            "time": _log_render.now(),
            "level": "warning",
            "logger": __name__,
            "event": "log lines dropped: the stream is too slow",
            "dropped": count,
        })  # fmt: skip

    def finish(_logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        return render(_complete(event, method, current_steps()))

    writer = Writer(stream, dropped_line)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, finish],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_args: _QueueLogger(writer),
        cache_logger_on_first_use=False,
    )
    _capture_logging(level)
    return Sink(level, _emit, writer.flush, writer.close)


def _complete(event: MutableMapping[str, Any], method: str, steps: tuple[str, ...]) -> dict[str, Any]:
    complete: dict[str, Any] = {
        "time": _log_render.now(),
        "level": "error" if method == "exception" else method,
        "logger": event.pop("logger", "root"),
        "event": event.pop("event", ""),
    }
    if steps:
        complete["steps"] = steps
    # Twice, so that these names come first and cannot be overwritten.
    return _log_render.masked(complete | dict(event) | complete)


class _QueueLogger:
    """What structlog calls with the finished line, by the name of the level."""

    def __init__(self, writer: Writer) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = self.msg = writer.write


def _emit(level: int, name: str, event: str, fields: dict[str, Any]) -> None:
    if taken := _TAKEN & fields.keys():
        fields = {f"{key}_" if key in taken else key: value for key, value in fields.items()}
    structlog.get_logger().log(level, event, logger=name, **fields)


class _StructlogHandler(logging.Handler):
    """Carries records of `logging` into structlog."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            exc_info = {"exc_info": record.exc_info} if record.exc_info else {}
            # structlog knows only the standard levels; libraries also use those between.
            level = min(record.levelno // 10 * 10, logging.CRITICAL)
            _emit(level, record.name, record.getMessage(), exc_info)
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)


def _capture_logging(level: int) -> None:
    root = logging.getLogger()
    for handler in root.handlers[:]:
        if isinstance(handler, _StructlogHandler):
            root.removeHandler(handler)
    root.addHandler(_StructlogHandler())
    root.setLevel(level)
