"""From text and YAML values to the types that settings have. Pure.

Every conversion raises `ValueError` with what was expected, in words that follow "expected".
"""

import dataclasses
import enum
import math
import re
import types
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Literal, Union, get_args, get_origin

from proa.app.secret import MASK, Secret

__all__ = ["Converter", "converter_for", "format_duration", "parse_duration"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Converter:
    """How one type is read.

    Attributes:
        expected: What a value looks like, in words.
        metavar: What a value is called in `--help`.
        text: From an environment variable.
        flag: From what argparse collected.
        document: From a value that YAML has typed already.
        show: The value as `--help` shows a default.
        repeats: Whether the flag can be given several times.
        is_flag: Whether the flag takes no value.
        is_secret: Whether values must not be shown.
    """

    expected: str
    metavar: str
    text: Callable[[str], Any]
    flag: Callable[[Any], Any]
    document: Callable[[object], Any]
    show: Callable[[Any], str] = str
    repeats: bool = False
    is_flag: bool = False
    is_secret: bool = False


def converter_for(annotation: Any) -> Converter:
    """Return how values of a type are read.

    Raises:
        TypeError: Settings of this type are not supported; that is the programmer's mistake.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Union, types.UnionType}:
        return _optional(arguments)
    if origin is Literal:
        return _choice({str(value): value for value in arguments})
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return _tuple_of(converter_for(arguments[0]), split=get_origin(arguments[0]) is Literal)
    if origin is dict and arguments[0] is str:
        return _mapping_to(converter_for(arguments[1]))
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return _choice({str(member.value): member for member in annotation})
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    raise TypeError(f"settings cannot be of type {annotation}")


def parse_duration(text: str) -> timedelta:
    """Read a duration as Go and Kubernetes write it, such as "1h30m", "10s" or "1.5s".

    Raises:
        ValueError: It has no unit, an unknown one, or is no duration at all.
    """
    if text == "0":
        return timedelta()
    if not _DURATION.fullmatch(text):
        raise ValueError(_A_DURATION)
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text))
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(_A_DURATION) from None


def format_duration(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same one back."""
    seconds = duration.total_seconds()
    if not seconds:
        return "0s"
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [(hours, "h"), (minutes, "m"), (round(rest, 6), "s")]
    return "".join(f"{number:.6f}".rstrip("0").rstrip(".") + unit for number, unit in parts if number)


_A_DURATION: Final = "a duration with units, such as 10s, 1m30s or 500ms"
_UNITS: Final = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)(us|µs|ms|s|m|h)", re.ASCII)
_DURATION: Final = re.compile(rf"(?:{_DURATION_PART.pattern})+", re.ASCII)


def _scalar(
    expected: str,
    metavar: str,
    parse: Callable[[str], Any],
    accepts: tuple[type, ...] = (),
    show: Callable[[Any], str] = str,
    *,
    is_secret: bool = False,
) -> Converter:
    """Read a type from text, and in YAML from text or from the types that it accepts as they are written."""

    def document(raw: object) -> Any:
        # bool is an int to Python, but `port: yes` is no port.
        if isinstance(raw, str) or (isinstance(raw, accepts) and not isinstance(raw, bool)):
            return parse(str(raw))
        raise ValueError(expected)

    return Converter(
        expected=expected,
        metavar=metavar,
        text=parse,
        flag=parse,
        document=document,
        show=show,
        is_secret=is_secret,
    )


def _parse_int(text: str) -> int:
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise ValueError("a whole number")
    return int(text)


def _parse_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a number")
    return number


def _parse_bool(text: str) -> bool:
    try:
        return _BOOLS[text.lower()]
    except KeyError:
        raise ValueError("true or false") from None


def _parse_path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError("a path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError("a path; ~ must stand for a user that exists") from None


def _bool_from_document(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    return _parse_bool(raw if isinstance(raw, str) else "")


_BOOLS: Final = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(
    ("false", "no", "off", "0"), False
)
_TEXT: Final = "text (in a file: put it in quotes)"
_SCALARS: Final[dict[Any, Converter]] = {
    str: _scalar(_TEXT, "TEXT", str),
    Secret: _scalar(_TEXT, "SECRET", Secret, show=lambda _: MASK, is_secret=True),
    int: _scalar("a whole number", "N", _parse_int, (int,)),
    float: _scalar("a number", "NUMBER", _parse_float, (int, float)),
    Path: _scalar("a path", "PATH", _parse_path),
    timedelta: _scalar(_A_DURATION, "DURATION", parse_duration, show=format_duration),
    bool: Converter(
        expected="true or false",
        metavar="",
        text=_parse_bool,
        flag=bool,
        document=_bool_from_document,
        show=lambda value: str(value).lower(),
        is_flag=True,
    ),
}


def _choice(choices: dict[str, Any]) -> Converter:
    expected = "one of " + ", ".join(choices)

    def parse(text: str) -> Any:
        if text not in choices:
            raise ValueError(expected)
        return choices[text]

    def show(value: Any) -> str:
        return next(text for text, choice in choices.items() if choice == value)

    return _scalar(expected, "|".join(choices), parse, (int,), show)


def _optional(arguments: tuple[Any, ...]) -> Converter:
    present = [argument for argument in arguments if argument is not type(None)]
    if len(present) != 1 or len(present) == len(arguments):
        raise TypeError(f"settings cannot be of type {' | '.join(map(str, arguments))}")
    inner = converter_for(present[0])
    return dataclasses.replace(inner, show=lambda value: "" if value is None else inner.show(value))


def _parts(raws: Iterable[str]) -> Iterable[str]:
    return [part.strip() for raw in raws for part in raw.split(",") if part.strip()]


def _tuple_of(item: Converter, *, split: bool) -> Converter:
    """A list; with `split` a flag may name several at once (`a,b`), as none of the choices has a comma."""
    expected = f"a list, each {item.expected}"

    def each(convert: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
        return lambda raws: tuple(convert(raw) for raw in raws)

    def document(raw: object) -> tuple[Any, ...]:
        if not isinstance(raw, list):
            raise ValueError(expected)  # noqa: TRY004 - the kind of YAML value is the user's
        return each(item.document)(raw)

    return Converter(
        expected=expected,
        metavar=item.metavar,
        text=lambda text: each(item.text)(part.strip() for part in text.split(",") if part.strip()),
        flag=lambda raws: each(item.flag)(_parts(raws) if split else raws),
        document=document,
        show=lambda values: ",".join(map(item.show, values)),
        repeats=True,
        is_secret=item.is_secret,
    )


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(key.strip() and equals for key, equals, _ in pairs):
        raise ValueError(_KEY_VALUE)
    return {key.strip(): value for key, _, value in pairs}


def _mapping_to(value: Converter) -> Converter:
    """A mapping of names to values of a type."""

    def read(pairs: dict[str, Any], convert: Callable[[Any], Any]) -> dict[str, Any]:
        return {key: _named(key, convert, raw) for key, raw in pairs.items()}

    def document(raw: object) -> dict[str, Any]:
        if isinstance(raw, dict) and all(isinstance(key, str) for key in raw):
            return read(raw, value.document)
        raise ValueError("a mapping of text to text (put numbers in quotes)")

    return Converter(
        expected=_KEY_VALUE + " pairs",
        metavar=f"KEY={'VALUE' if value is _SCALARS[str] else value.metavar}",
        text=lambda text: read(_pairs([part for part in text.split(",") if part.strip()]), value.text),
        flag=lambda texts: read(_pairs(texts), value.flag),
        document=document,
        show=lambda pairs: ",".join(f"{key}={value.show(one)}" for key, one in pairs.items()),
        repeats=True,
        is_secret=value.is_secret,
    )


def _named(key: str, convert: Callable[[Any], Any], raw: object) -> Any:
    try:
        return convert(raw)
    except ValueError as error:
        raise ValueError(f"as {key}, {error}") from None


_KEY_VALUE: Final = "key=value"
