"""`modules.toml`: WAGI 0.8's file, unchanged, with limits and an environment for each route added.

Reading it finds every mistake at once and names the line of each. Keys that WAGI does not know are no
mistake, as they never were; they are told in `Config.remarks`.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from proa.app._convert import parse_duration
from proa.wagi.errors import ConfigError
from proa.wagi.handlers import Limits
from proa.wagi.routing import check_pattern

__all__ = ["Config", "Module", "load_config", "parse_config", "parse_size"]


@dataclass(frozen=True, kw_only=True)
class Module:
    """One `[[module]]`.

    Attributes:
        route: The pattern.
        module: Where the module is: a path, or a URI with `file:`, `oci:` or `bindle:`.
        line: Where it stands in the file.
        digest: What the module's SHA-256 must be, as `sha256:` and 64 digits; None is not checked.
        entrypoint: The export that is called.
        bindle_server: Where a bindle comes from.
        volumes: Directories, guest path → host path.
        allowed_hosts: Origins that it may send requests to.
        http_max_concurrency: How many of those at once.
        argv: A template for arguments.
        environment: Variables beside the protocol's.
        limits: What a request may use.
    """

    route: str
    module: str
    line: int = 0
    digest: str | None = None
    entrypoint: str = "_start"
    bindle_server: str | None = None
    volumes: Mapping[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    http_max_concurrency: int | None = None
    argv: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Config:
    """A whole file.

    Attributes:
        path: Where it was read from.
        modules: In the file's order, which is that of precedence.
        remarks: What is odd but no mistake, with its line.
    """

    path: Path
    modules: tuple[Module, ...]
    remarks: tuple[str, ...] = ()


def load_config(path: Path, limits: Limits | None = None) -> Config:
    """Read a file.

    Args:
        path: The file.
        limits: What holds for routes that say nothing else.

    Raises:
        ConfigError: With every problem, each with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    return parse_config(text, path, limits)


def parse_config(text: str, path: Path, limits: Limits | None = None) -> Config:
    """Read the text of a file; the same as `load_config` in all else. Pure."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: {_toml_message(error, text)}"]) from None
    entries = document.get("module", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError([f"{path}: line {_find(text, 'module')}: write [[module]] for each module"])
    if not entries:
        raise ConfigError([f"{path}: it has no [[module]]: nothing would be served"])
    problems: list[str] = []
    remarks: list[str] = []
    modules = []
    for lines, entry in zip(_locate(text, len(entries)), entries, strict=True):
        reader = _Reader(entry, lines)
        modules.append(_read_module(reader, limits or Limits()))
        problems += [f"{path}: {problem}" for problem in reader.problems]
        remarks += [f"{path}: {remark}" for remark in reader.remarks()]
    if problems:
        raise ConfigError(problems)
    return Config(path, tuple(modules), tuple(remarks))


class _Lines:
    """Where the keys of one `[[module]]` stand."""

    def __init__(self, start: int, lines: Sequence[str]) -> None:
        self.start = start
        self._keys: dict[str, int] = {}
        for number, line in enumerate(lines, start):
            if match := _KEY.match(line):
                self._keys.setdefault(next(name for name in match.groups() if name), number)

    def of(self, key: str) -> int:
        """The line of a key, or of the whole entry."""
        return self._keys.get(key, self.start)


_KEY: Final = re.compile(r"""\s*(?:\[\s*module\s*\.\s*"?([\w-]+)"?.*\]|"?([\w-]+)"?\s*(?:\.[^=]*)?=)""")
_ENTRY: Final = re.compile(r"\s*\[\[\s*\"?module\"?\s*\]\]")


def _locate(text: str, count: int) -> Iterator[_Lines]:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _ENTRY.match(line)]
    starts = (starts + [0] * count)[:count]  # An array written inline has no lines of its own.
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield _Lines(start + 1, lines[start:end])


def _find(text: str, key: str) -> int:
    numbers = (number for number, line in enumerate(text.splitlines(), 1) if key in line)
    return next(numbers, 1)


def _toml_message(error: tomllib.TOMLDecodeError, text: str) -> str:
    match = re.fullmatch(r"(.*) \(at line (\d+), column (\d+)\)", str(error))
    if match:
        return f"line {match[2]}: {match[1]} (column {match[3]})"
    return f"line {len(text.splitlines())}: {error}"


class _Reader:
    """One entry, read key by key; what is wrong is noted and the default returned."""

    def __init__(self, entry: Mapping[str, Any], lines: _Lines) -> None:
        self._entry = entry
        self.lines = lines
        self.problems: list[str] = []
        self._known: set[str] = set()

    def get(self, key: str, convert: Callable[[Any], Any], default: Any = None) -> Any:
        """Return a key's value, converted; `convert` raises ValueError with what was expected."""
        self._known.add(key)
        if key not in self._entry:
            return default
        try:
            return convert(self._entry[key])
        except ValueError as error:
            self.complain(key, str(error))
            return default

    def require(self, key: str, convert: Callable[[Any], Any]) -> Any:
        """Do the same for a key that must be there."""
        if key not in self._entry:
            self.complain(key, "is missing", expected=False)
        return self.get(key, convert, "")

    def complain(self, key: str, problem: str, *, expected: bool = True) -> None:
        """Note what is wrong."""
        shown = f"{self._entry[key]!r} is wrong: expected {problem}" if expected else problem
        self.problems.append(f"line {self.lines.of(key)}: {key}: {shown}")

    def remarks(self) -> Iterator[str]:
        """Name the keys that mean nothing here."""
        for key in self._entry:
            if key not in self._known and key not in _SILENTLY_IGNORED:
                near = difflib.get_close_matches(key, self._known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                yield f"line {self.lines.of(key)}: {key} means nothing here{hint}"


_SILENTLY_IGNORED: Final = frozenset({"repository"})


def _read_module(reader: _Reader, limits: Limits) -> Module:
    return Module(
        line=reader.lines.start,
        route=reader.require("route", _route),
        module=reader.require("module", _source),
        digest=reader.get("digest", _digest),
        entrypoint=reader.get("entrypoint", _text, "_start"),
        bindle_server=reader.get("bindle_server", _text),
        volumes=reader.get("volumes", _volumes, {}),
        allowed_hosts=reader.get("allowed_hosts", _hosts, ()),
        http_max_concurrency=reader.get("http_max_concurrency", _count),
        argv=reader.get("argv", _text),
        environment=reader.get("environment", _environment, {}),
        limits=Limits(
            seconds=reader.get("timeout", _seconds, limits.seconds),
            memory=reader.get("memory", _memory, limits.memory),
            concurrency=reader.get("concurrency", _count, limits.concurrency),
            body=reader.get("max_body", _size, limits.body),
        ),
    )


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw or "\0" in raw:
        raise ValueError("text")
    return raw


def _route(raw: Any) -> str:
    route = _text(raw)
    if problem := check_pattern(route):
        raise ValueError(f"a path such as /hello or /hello/...: {problem}")
    return route


def _source(raw: Any) -> str:
    source = _text(raw)
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):", source)
    if scheme and scheme[1] not in {"file", "oci", "bindle"}:
        raise ValueError("a path, or a URI with file:, oci: or bindle:")
    return source


def _digest(raw: Any) -> str:
    if not isinstance(raw, str) or not re.fullmatch(r"sha256:[0-9a-f]{64}", raw):
        raise ValueError("sha256: and 64 hexadecimal digits")
    return raw


def _volumes(raw: Any) -> dict[str, str]:
    pairs = _strings(raw, "a table of guest paths and host paths")
    if bad := [path for path in pairs if not path.startswith("/") or ".." in path.split("/")]:
        raise ValueError(f"guest paths that are absolute and without '..', unlike {bad[0]!r}")
    return pairs


def _environment(raw: Any) -> dict[str, str]:
    pairs = _strings(raw, "a table of names and texts")
    if bad := [name for name in pairs if not name or "=" in name]:
        raise ValueError(f"names without =, unlike {bad[0]!r}")
    return pairs


def _strings(raw: Any, expected: str) -> dict[str, str]:
    if not isinstance(raw, dict):
        raise ValueError(expected)  # noqa: TRY004 - the kind of TOML value is the user's
    for name, value in raw.items():
        if not isinstance(value, str) or "\0" in name + value:
            raise ValueError(expected)
    return raw


def _hosts(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(host, str) for host in raw):
        raise ValueError("a list of URLs such as https://example.com")
    for host in raw:
        if host != "insecure:allow-all" and not re.match(r"https?://[^/\s]+", host):
            raise ValueError(f"URLs such as https://example.com, unlike {host!r}")
    return tuple(raw)


def _count(raw: Any) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or not 0 < raw < 1 << 32:
        raise ValueError("a positive whole number")
    return raw


def _seconds(raw: Any) -> float:
    if isinstance(raw, str):
        seconds = parse_duration(raw).total_seconds()
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        seconds = float(raw)
    else:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise ValueError("a duration such as 10s, or a positive number of seconds")
    return seconds


def parse_size(text: str) -> int:
    """Read a number of bytes such as "64MiB", "1GB" or "4096".

    Raises:
        ValueError: It is none; the message is what was expected.
    """
    match = re.fullmatch(r"([0-9]{1,15})\s*(?:([KMG])(i?)B?|B)?", text)
    if not match:
        raise ValueError("a size such as 64MiB, or a number of bytes")
    power = " KMG".index(match[2]) if match[2] else 0
    base = 1024 if match[3] else 1000
    return int(match[1]) * int(base**power)


def _size(raw: Any) -> int:
    if isinstance(raw, int) and not isinstance(raw, bool) and raw >= 0:
        return raw
    return parse_size(raw if isinstance(raw, str) else "")


def _memory(raw: Any) -> int:
    size = _size(raw)
    if size < 65536:
        raise ValueError("at least 64KiB, one page of WebAssembly")
    return size
