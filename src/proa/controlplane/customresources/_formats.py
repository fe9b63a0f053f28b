"""Formats of strings that schemas can ask for. Pure. Unknown ones are no constraint, as with Kubernetes."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import uuid
from collections.abc import Callable
from datetime import date, datetime
from urllib.parse import urlsplit

_LABEL = r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*\.?")
_MAIL = re.compile(rf"[^@\s]{{1,64}}@{_LABEL}(\.{_LABEL})*")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"[+-]?(0|(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+|\d+ ?(s|m|h|d|w)\w*")
_HEX_COLOUR = re.compile(r"#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})")
_MAC = re.compile(r"([0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}")


def has_format(text: str, name: str) -> bool:
    """Whether a string has a format."""
    check = _CHECKS.get(name)
    if check is None:
        return True
    try:
        return bool(check(text))
    except (ValueError, binascii.Error):
        return False


def _matches(pattern: re.Pattern[str]) -> Callable[[str], object]:
    return pattern.fullmatch


def _address(version: int) -> Callable[[str], object]:
    return lambda text: ipaddress.ip_address(text).version == version


def _is_time(text: str) -> bool:
    if not _TIME.fullmatch(text):
        return False
    datetime.fromisoformat(re.sub(r"\.\d+", "", text.upper()))
    return True


def _is_uri(text: str) -> bool:
    return bool(urlsplit(text).scheme) and " " not in text


def _is_uuid(version: int | None) -> Callable[[str], object]:
    return lambda text: version in {None, uuid.UUID(text).version} and "-" in text


_CHECKS: dict[str, Callable[[str], object]] = {
    "byte": lambda text: base64.b64decode(text, validate=True) is not None,
    "cidr": lambda text: "/" in text and bool(ipaddress.ip_interface(text)),
    "date": lambda text: len(text) == 10 and bool(date.fromisoformat(text)),
    "date-time": _is_time,
    "datetime": _is_time,
    "duration": _matches(_DURATION),
    "email": _matches(_MAIL),
    "hexcolor": _matches(_HEX_COLOUR),
    "hostname": _matches(_HOST),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "mac": _matches(_MAC),
    "uri": _is_uri,
    "uuid": _is_uuid(None),
    "uuid3": _is_uuid(3),
    "uuid4": _is_uuid(4),
    "uuid5": _is_uuid(5),
}
