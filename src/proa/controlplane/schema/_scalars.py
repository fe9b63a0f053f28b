"""Scalars that are more than their JSON type: bounded integers, base64 and times. Pure."""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Read = Callable[[Any], Any]
_BITS = {"int32": 2**31, "int64": 2**63}
_SECONDS = re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([.,]\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_MICROSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)", re.ASCII)


def reader(name: str, form: str) -> tuple[Read, str] | None:
    """What makes a value of the right JSON type the one to keep, raising `ValueError` where it is none, and
    what it expects in words; None where every value will do.
    """
    if name.endswith(".MicroTime"):
        return _micro_time, "a time such as 2026-01-31T12:00:00.000000Z"
    if form == "date-time":
        return _time, "a time such as 2026-01-31T12:00:00Z"
    if form == "byte":
        return _base64, "base64"
    if form in _BITS:
        return _integer(_BITS[form]), f"an integer of {form.removeprefix('int')} bits"
    return None


def _integer(bound: int) -> Read:
    def read(value: int) -> int:
        if not -bound <= value < bound:
            raise ValueError
        return value

    return read


def _base64(text: str) -> str:
    """The text without line breaks, which Kubernetes' decoder passes over.

    Raises:
        ValueError: It is no base64.
    """
    text = text.replace("\n", "").replace("\r", "")
    binascii.a2b_base64(text, strict_mode=True)
    return text


def _time(text: str) -> str:
    """The moment in UTC and whole seconds.

    Raises:
        ValueError: It is no time as RFC 3339 has it.
    """
    if _SECONDS.fullmatch(text):
        return text
    parts = _TIME.fullmatch(text)
    if parts is None:
        raise ValueError
    return _utc(parts[1] + parts[3]).isoformat(timespec="seconds") + "Z"


def _micro_time(text: str) -> str:
    """The moment in UTC and microseconds, all six digits of which must be there.

    Raises:
        ValueError: It is no such time.
    """
    if not _MICROSECONDS.fullmatch(text):
        raise ValueError
    return _utc(text).isoformat(timespec="microseconds") + "Z"


def _utc(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)
    except OverflowError:
        raise ValueError from None
