"""The query of a log request: `follow`, `tailLines`, `sinceTime` and the rest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from proa.kubelet import _cri
from proa.kubelet.errors import LogQueryError


@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """What of a log is wanted, with the meaning of Kubernetes' PodLogOptions.

    Attributes:
        follow: Go on until the container ends.
        previous: The log of the instance before this one.
        timestamps: Begin each line with the time at which it was read, RFC 3339 with nine digits.
        tail_lines: Only the last so many lines; None for all.
        since: Only what was read at this time or later, as in the records; empty for all.
        limit_bytes: End after so many bytes; None for no limit.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    tail_lines: int | None = None
    since: bytes = b""
    limit_bytes: int | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str], now: int) -> "LogOptions":
        """Read a query.

        Args:
            query: The parameters as they stand in the address.
            now: The time that `sinceSeconds` counts back from, nanoseconds since the epoch.

        Raises:
            LogQueryError: A value is not a number, a time or a truth, or two contradict each other.
        """
        if "sinceTime" in query and "sinceSeconds" in query:
            raise LogQueryError("only one of sinceTime and sinceSeconds may be given")
        since_seconds = _number(query, "sinceSeconds", least=1)
        since = (
            _cri.timestamp(now - since_seconds * 1_000_000_000)
            if since_seconds
            else _time(query, "sinceTime")
        )
        return cls(
            follow=_truth(query, "follow"),
            previous=_truth(query, "previous"),
            timestamps=_truth(query, "timestamps"),
            tail_lines=_number(query, "tailLines", least=0),
            since=since,
            limit_bytes=_number(query, "limitBytes", least=1),
        )


def _truth(query: Mapping[str, str], key: str) -> bool:
    value = query.get(key, "false").lower()
    if value in {"", "1", "t", "true"}:
        return True
    if value in {"0", "f", "false"}:
        return False
    raise LogQueryError(f"{key}: {value!r} is neither true nor false")


def _number(query: Mapping[str, str], key: str, least: int) -> int | None:
    if key not in query:
        return None
    text = query[key]
    if not text.isascii() or not text.isdecimal() or int(text) < least:
        raise LogQueryError(f"{key}: {text!r} is not a whole number of {least} or more")
    return int(text)


def _time(query: Mapping[str, str], key: str) -> bytes:
    if key not in query:
        return b""
    try:
        moment = datetime.fromisoformat(query[key])
    except ValueError as error:
        raise LogQueryError(f"{key}: {query[key]!r} is not a time of RFC 3339") from error
    if moment.tzinfo is None:
        raise LogQueryError(f"{key}: {query[key]!r} has no time zone")
    return _cri.timestamp(int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1000)
