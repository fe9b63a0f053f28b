"""The requests of subresources: logs, and what is posted to a path under an object's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from proa.kube.codec import encode
from proa.kube.core.request import Place, Request
from proa.kube.errors import InvalidRequestError


def post(place: Place, name: str, subresource: str, body: object, *, dry_run: bool = False) -> Request:
    """Post to a subresource: binding, eviction, token."""
    query = {"dryRun": "All"} if dry_run else {}
    return Request("POST", place.one(name, subresource), query, encode(body))


@dataclass(frozen=True, kw_only=True, slots=True)
class LogOptions:
    """Which part of a container's log, and how."""

    container: str | None = None
    follow: bool = False
    tail_lines: int | None = None
    previous: bool = False
    timestamps: bool = False
    since_seconds: int | None = None
    since_time: datetime | None = None
    limit_bytes: int | None = None
    stream: Literal["All", "Stdout", "Stderr"] | None = None

    def query(self) -> dict[str, str]:
        """Return the query parameters; raises InvalidRequestError for what no server accepts."""
        self._check()
        chosen = {
            "container": self.container,
            "follow": "true" if self.follow else None,
            "tailLines": _text(self.tail_lines),
            "previous": "true" if self.previous else None,
            "timestamps": "true" if self.timestamps else None,
            "sinceSeconds": _text(self.since_seconds),
            "sinceTime": self.since_time.isoformat() if self.since_time else None,
            "limitBytes": _text(self.limit_bytes),
            "stream": self.stream,
        }
        return {key: value for key, value in chosen.items() if value is not None}

    def _check(self) -> None:
        if self.since_seconds is not None and self.since_time is not None:
            raise InvalidRequestError("a log begins at one point: give since_seconds or since_time, not both")
        if self.since_time is not None and self.since_time.tzinfo is None:
            raise InvalidRequestError("since_time has no timezone: use datetime.now(UTC), for example")
        if self.tail_lines is not None and self.tail_lines < 0:
            raise InvalidRequestError(f"the last {self.tail_lines} lines of a log cannot be asked for")
        for name, value in (("since_seconds", self.since_seconds), ("limit_bytes", self.limit_bytes)):
            if value is not None and value < 1:
                raise InvalidRequestError(f"{name} must be at least 1, not {value}")
        if self.stream in {"Stdout", "Stderr"} and self.tail_lines is not None:
            raise InvalidRequestError("tail_lines works for both streams of a log together only")


def logs(place: Place, name: str, options: LogOptions) -> Request:
    """Read a container's log."""
    return Request("GET", place.one(name, "log"), options.query(), accept="text/plain, application/json")


def _text(value: int | None) -> str | None:
    return None if value is None else str(value)


@dataclass(frozen=True, kw_only=True, slots=True)
class Streams:
    """Which streams of a container to join."""

    container: str | None = None
    stdin: bool = False
    stdout: bool = True
    stderr: bool = True
    tty: bool = False

    def query(self) -> dict[str, str | tuple[str, ...]]:
        """Return the query parameters; raises InvalidRequestError for what no server accepts."""
        if self.tty and self.stderr and not self.stdout:
            raise InvalidRequestError("a terminal has one output, stdout: stderr alone cannot be asked for")
        if not (self.stdin or self.stdout or self.stderr):
            raise InvalidRequestError("at least one of stdin, stdout and stderr must be joined")
        chosen = {
            "container": self.container,
            "stdin": "true" if self.stdin else None,
            "stdout": "true" if self.stdout else None,
            "stderr": "true" if self.stderr and not self.tty else None,
            "tty": "true" if self.tty else None,
        }
        return {key: value for key, value in chosen.items() if value is not None}


def execute(place: Place, name: str, command: Sequence[str], streams: Streams) -> Request:
    """Run a command in a container."""
    if isinstance(command, str) or not command:
        raise InvalidRequestError(f"a command is a list of words, such as ['ls', '-l'], not {command!r}")
    return Request("GET", place.one(name, "exec"), streams.query() | {"command": tuple(command)})


def attach(place: Place, name: str, streams: Streams) -> Request:
    """Join the streams of a container's own process."""
    return Request("GET", place.one(name, "attach"), streams.query())


def port_forward(place: Place, name: str, port: int) -> Request:
    """Connect to a port of a pod."""
    if not 0 < port < 65536:
        raise InvalidRequestError(f"{port} is no port")
    return Request("GET", place.one(name, "portforward"), {"ports": str(port)})
