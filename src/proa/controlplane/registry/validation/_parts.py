"""What checks of several types share: walking lists, numbers, addresses, quantities. Pure."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, required
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry._checks import Check
from proa.controlplane.registry._names import (
    NameRule,
    config_key,
    dns_subdomain,
    label_value,
    port_name,
    qualified_name,
)

PROTOCOLS = ("SCTP", "TCP", "UDP")
MOST_INT32 = 2**31 - 1


def each(holder: Document, field: str, path: str) -> Iterator[tuple[Any, str]]:
    """The items of a struct's list, each with its path."""
    for index, item in enumerate(holder.get(field) or ()):
        yield item, f"{path}.{field}[{index}]"


def names(rule: NameRule, value: str, path: str) -> list[Cause]:
    """What a name's rule says against a value."""
    return [invalid_value(path, value, why) for why in rule(value)]


def needed_name(rule: NameRule) -> Check:
    """A name of a kind, which has to be there."""
    return lambda value, path: names(rule, value, path) if value else [required(path)]


def name_even_empty(rule: NameRule) -> Check:
    """A name of a kind, checked even if it is empty or not there."""
    return lambda value, path: names(rule, value or "", path)


def listed(rule: NameRule) -> Check:
    """A list of names of a kind."""
    return lambda value, path: [
        cause for index, item in enumerate(value or ()) for cause in names(rule, item, f"{path}[{index}]")
    ]


def unique_items(value: Iterable[Any] | None, path: str, why: str = "") -> list[Cause]:
    """A list without repetitions."""
    found: list[Cause] = []
    seen: list[Any] = []
    for index, item in enumerate(value or ()):
        if item in seen:
            found.append(Cause("FieldValueDuplicate", f"{path}[{index}]", why or "Duplicate value"))
        seen.append(item)
    return found


def port_number(value: Any, path: str) -> list[Cause]:
    """A port, by number; zero and none are wrong, too."""
    number = value or 0
    if 1 <= number <= 65535:
        return []
    return [invalid_value(path, number, "must be between 1 and 65535, inclusive")]


def number_or_name(value: Any, path: str) -> list[Cause]:
    """A port by number or name; none at all is the number 0."""
    if type(value) is str:
        return names(port_name, value, path)
    return port_number(value, path)


def not_negative(holder: Document, path: str, *fields: str) -> list[Cause]:
    """Numbers that are zero or more."""
    return [
        invalid_value(f"{path}.{field}", holder[field], "must be greater than or equal to 0")
        for field in fields
        if holder.get(field, 0) < 0
    ]


def labels(values: Document | None, path: str) -> list[Cause]:
    """Keys and values of labels."""
    found: list[Cause] = []
    for key, value in (values or {}).items():
        found += names(qualified_name, key, path)
        found += names(label_value, value, path)
    return found


def key_in(rule: NameRule = dns_subdomain) -> Check:
    """A reference to one key of a named object."""

    def check(value: Any, path: str) -> list[Cause]:
        found = names(rule, value.get("name", ""), f"{path}.name")
        key = value.get("key", "")
        return found + (names(config_key, key, f"{path}.key") if key else [required(f"{path}.key")])

    return check


def relative_path(value: str, path: str) -> list[Cause]:
    """A path below some directory."""
    found = []
    if value.startswith("/"):
        found.append(invalid_value(path, value, "must be a relative path"))
    return found + no_backsteps(value, path)


def no_backsteps(value: str, path: str) -> list[Cause]:
    """A path that does not climb."""
    return [invalid_value(path, value, "must not contain '..'")] if ".." in value.split("/") else []


def local_path(value: str, path: str) -> list[Cause]:
    """A relative path whose first part does not begin with two dots either."""
    found = relative_path(value, path)
    if value.startswith("..") and not value.startswith("../"):
        found.append(invalid_value(path, value, "must not start with '..'"))
    return found


@lru_cache(1024)
def address_of(value: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address; None if it is none. Zeros may lead, as they always might in Kubernetes."""
    try:
        return ipaddress.ip_address(_without_zeros(value))
    except ValueError:
        return None


@lru_cache(1024)
def network_of(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A network in CIDR notation; None if it is none."""
    base, slash, size = value.partition("/")
    if not slash or not size.isdecimal():
        return None
    try:
        return ipaddress.ip_network(f"{_without_zeros(base)}/{size}", strict=False)
    except ValueError:
        return None


def _without_zeros(address: str) -> str:
    if ":" in address:
        return address
    return ".".join(part.lstrip("0") or "0" if part.isdecimal() else part for part in address.split("."))


def ip_address(value: Any, path: str) -> list[Cause]:
    """An IP address, of either family."""
    known = type(value) is str and address_of(value)
    return [] if known else [invalid_value(path, value or "", "must be a valid IP address, (e.g. 10.9.8.7)")]


def ip_network(value: Any, path: str) -> list[Cause]:
    """A network in CIDR notation."""
    known = type(value) is str and network_of(value)
    return (
        [] if known else [invalid_value(path, value or "", "must be a valid CIDR value (e.g. 10.9.8.0/24)")]
    )


def ordinary_address(value: str, path: str, *, loopback: bool = False) -> list[Cause]:
    """An address that others can reach: no loopback (unless it is allowed), link-local or unspecified one."""
    address = address_of(value)
    if address is None:
        return [invalid_value(path, value, "must be a valid IP address, (e.g. 10.9.8.7)")]
    local_multicast = str(address).startswith("224.0.0.") or (
        address.version == 6 and address.is_multicast and int(address) >> 112 & 0xF == 2
    )
    wrong = {
        "may not be unspecified": address.is_unspecified,
        "may not be in the loopback range (127.0.0.0/8, ::1/128)": address.is_loopback and not loopback,
        "may not be in the link-local range (169.254.0.0/16, fe80::/10)": address.is_link_local,
        "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)": local_multicast,
    }
    return [invalid_value(path, value, why) for why, holds in wrong.items() if holds]


def is_positive(amount: Any) -> bool:
    """Whether a quantity is more than nothing."""
    return quantity(amount) > 0


def of_the_first(fields: Iterable[str]) -> Callable[[Any, str, list[Cause]], list[Cause]]:
    """Of several sources only the first is looked into."""
    known = tuple(fields)

    def check(value: Any, path: str, found: list[Cause]) -> list[Cause]:
        others = tuple(f"{path}.{field}." for field in [one for one in known if one in value][1:])
        return [cause for cause in found if not cause.field.startswith(others)] if others else found

    return check


def only_one(value: Document, fields: Iterable[str], path: str, why: str) -> list[Cause]:
    """All fields that are there after the first are forbidden."""
    there = [field for field in fields if field in value]
    return [forbidden(f"{path}.{field}", why) for field in there[1:]]


_PATH_PART = re.compile(r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+")


def domain_path(value: str, path: str) -> list[Cause]:
    """A DNS name, a slash, and a path: how things are named that somebody has made."""
    if not value:
        return [required(path)]
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        return [invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')]
    found = names(dns_subdomain, domain, path)
    if not _PATH_PART.fullmatch(rest):
        found.append(invalid_value(path, rest, "must be a path as URLs have them"))
    return found
