"""How a log event looks: a line of JSON for machines, an indented and coloured line for people. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from proa.app.secret import MASK

__all__ = ["inline", "masked", "now", "render_console", "render_json"]

_SENSITIVE: Final = frozenset({
    "access_token",
    "api_key",
    "authorization",
    "bearer_token",
    "client_secret",
    "cookie",
    "passwd",
    "password",
    "refresh_token",
    "secret",
    "token",
})  # fmt: skip
_COLOURS: Final = {"debug": "2", "info": "32", "warning": "33", "error": "31", "critical": "1;31"}
_NOT_FIELDS: Final = frozenset({"time", "level", "logger", "event", "steps", "duration", "exception"})


def masked(event: dict[str, Any]) -> dict[str, Any]:
    """Mask the fields whose name says that they hold a secret, in place. A `Secret` masks itself."""
    for name in _SENSITIVE & event.keys():
        if event[name] is not None:
            event[name] = MASK
    return event


def render_json(event: Mapping[str, Any]) -> str:
    """Return an event as one line of JSON; a value that JSON does not know appears as its `str()`."""
    try:
        return _encoder.encode(event).decode() + "\n"
    except Exception:  # noqa: BLE001 - whatever a value does when it is printed, the event must come through
        return _encoder.encode({str(name): _ascii(value) for name, value in event.items()}).decode() + "\n"


def render_console(event: Mapping[str, Any], *, colours: bool) -> str:
    """Return an event as a line for people: local time, level, indentation by step, fields, duration."""
    paint = _paint if colours else _plain
    time = datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S.%f")[:-3]
    level = event["level"]
    indent = "│ " * len(event.get("steps", ()))
    line = [
        paint(time, "2"),
        paint(f"{level:<7}", _COLOURS.get(level, "0")),
        paint(indent, "2") + paint(inline(event["event"], quote=False), "1"),
    ]
    line += [paint(f"{k}=", "36") + inline(v) for k, v in event.items() if k not in _NOT_FIELDS]
    if "duration" in event:
        line.append(paint(_duration(event["duration"]), "35"))
    text = " ".join(line) + "\n"
    if exception := event.get("exception"):
        text += "".join(f"    {part}\n" for part in str(exception).splitlines())
    return text


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if text else text


def _plain(text: str, _code: str) -> str:
    return text


def inline(value: object, *, quote: bool = True) -> str:
    """Return a value as text on one line, quoted where it would be unclear; never raises."""
    # Guests, images and clients choose some of these texts: no newline or escape sequence may pass.
    try:
        text = str(value)
    except Exception as error:  # noqa: BLE001 - the same as in render_json
        text = f"<{type(value).__name__}: {error!r}>"
    if not text.isprintable() or (quote and (not text or " " in text)):
        return repr(text)
    return text


def _duration(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _ascii(value: object) -> str:
    try:
        return str(value).encode("ascii", "backslashreplace").decode()
    except Exception as error:  # noqa: BLE001 - the same as in render_json
        return f"<{type(value).__name__}: {type(error).__name__}>"


_encoder = msgspec.json.Encoder(enc_hook=str)


def now() -> str:
    """Return the time in RFC 3339, UTC, to the microsecond."""
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
