"""The functions that Kubernetes adds to CEL: lists, sets, regular expressions, URLs, IP addresses, CIDRs,
quantities, formats, authorisation.

What Kubernetes has a type of its own for (a URL, an address, a quantity) is a map with one key here.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from proa.controlplane._quantities import is_quantity, quantity

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

Tagged = dict[str, Any]
_URL, _IP, _CIDR, _QUANTITY = "url", "ip", "cidr", "quantity"


def declarations() -> list[FunctionDecl]:
    """All functions, for an environment."""
    return [*_list_functions(), *_text_functions(), *_network_functions(), *_quantity_functions()]


def _function(
    name: str, overloads: Sequence[tuple[str, str, Callable[..., Any]]], *, member: bool = True
) -> FunctionDecl:
    """A function; each overload is its parameters' types and its result's, by letters, and what it does."""
    from cel_expr_python import cel

    types = {
        "s": cel.Type.STRING,
        "b": cel.Type.BOOL,
        "i": cel.Type.INT,
        "d": cel.Type.DOUBLE,
        "*": cel.Type.DYN,
        "l": cel.Type.List(cel.Type.DYN),
        "m": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    }
    made = [
        cel.Overload(
            id=f"proa_{name.replace('.', '_')}_{'member' if member else 'global'}_{index}",
            return_type=types[result],
            parameters=[types[letter] for letter in parameters],
            is_member=member,
            impl=implementation,
        )
        for index, (parameters, result, implementation) in enumerate(overloads)
    ]
    return cel.FunctionDecl(name, made)


def _list_functions() -> list[FunctionDecl]:
    return [
        _function("isSorted", [("l", "b", _is_sorted)]),
        _function("sum", [("l", "*", sum)]),
        _function("min", [("l", "*", min)]),
        _function("max", [("l", "*", max)]),
        _function("sets.contains", [("ll", "b", lambda a, b: all(item in a for item in b))], member=False),
        _function("sets.intersects", [("ll", "b", lambda a, b: any(item in a for item in b))], member=False),
        _function("sets.equivalent", [("ll", "b", _equivalent)], member=False),
    ]


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in pairwise(items))


def _equivalent(first: list[Any], second: list[Any]) -> bool:
    return all(item in second for item in first) and all(item in first for item in second)


def _text_functions() -> list[FunctionDecl]:
    return [
        _function("isURL", [("s", "b", lambda text: _is(_url, text))], member=False),
        _function("url", [("s", "m", _url)], member=False),
        _function("getScheme", [("m", "s", lambda url: urlsplit(url[_URL]).scheme)]),
        _function("getHost", [("m", "s", lambda url: urlsplit(url[_URL]).netloc.rpartition("@")[2])]),
        _function("getHostname", [("m", "s", lambda url: urlsplit(url[_URL]).hostname or "")]),
        _function("getPort", [("m", "s", lambda url: str(urlsplit(url[_URL]).port or ""))]),
        _function("getEscapedPath", [("m", "s", lambda url: urlsplit(url[_URL]).path)]),
        _function("getQuery", [("m", "*", lambda url: parse_qs(urlsplit(url[_URL]).query))]),
    ]


def _is(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _url(text: str) -> Tagged:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or " " in text:
        raise ValueError(f"{text!r} is no absolute URL or path")
    return {_URL: text}


def _network_functions() -> list[FunctionDecl]:
    return [
        _function("isIP", [("s", "b", lambda text: _is(_ip, text))], member=False),
        _function("ip", [("s", "m", _ip)], member=False),
        _function("family", [("m", "i", lambda ip: ipaddress.ip_address(ip[_IP]).version)]),
        _function("isUnspecified", [("m", "b", lambda ip: ipaddress.ip_address(ip[_IP]).is_unspecified)]),
        _function("isLoopback", [("m", "b", lambda ip: ipaddress.ip_address(ip[_IP]).is_loopback)]),
        _function("isGlobalUnicast", [("m", "b", _is_global_unicast)]),
        _function("isCIDR", [("s", "b", lambda text: _is(_cidr, text))], member=False),
        _function("cidr", [("s", "m", _cidr)], member=False),
        _function("containsIP", [("ms", "b", _contains_ip), ("mm", "b", _contains_ip)]),
        _function("containsCIDR", [("ms", "b", _contains_cidr), ("mm", "b", _contains_cidr)]),
        _function("prefixLength", [("m", "i", lambda cidr: _network(cidr).prefixlen)]),
    ]


def _ip(text: str) -> Tagged:
    return {_IP: str(ipaddress.ip_address(text))}


def _is_global_unicast(ip: Tagged) -> bool:
    address = ipaddress.ip_address(ip[_IP])
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and ip[_IP] != "255.255.255.255"


def _cidr(text: str) -> Tagged:
    if "/" not in text:
        raise ValueError(f"{text!r} is no CIDR")
    return {_CIDR: str(ipaddress.ip_interface(text))}


def _network(cidr: Tagged | str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    text = cidr if isinstance(cidr, str) else cidr[_CIDR]
    return ipaddress.ip_interface(text).network


def _contains_ip(cidr: Tagged, ip: Tagged | str) -> bool:
    return ipaddress.ip_address(ip if isinstance(ip, str) else ip[_IP]) in _network(cidr)


def _contains_cidr(cidr: Tagged, other: Tagged | str) -> bool:
    outer, inner = _network(cidr), _network(other)
    return outer.version == inner.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _quantity_functions() -> list[FunctionDecl]:
    def compare(decide: Callable[[Decimal, Decimal], Any]) -> Callable[[Tagged, Tagged], Any]:
        return lambda a, b: decide(Decimal(a[_QUANTITY]), Decimal(b[_QUANTITY]))

    return [
        _function("isQuantity", [("s", "b", is_quantity)], member=False),
        _function("quantity", [("s", "m", _quantity)], member=False),
        _function("isGreaterThan", [("mm", "b", compare(lambda a, b: a > b))]),
        _function("isLessThan", [("mm", "b", compare(lambda a, b: a < b))]),
        _function("compareTo", [("mm", "i", compare(lambda a, b: (a > b) - (a < b)))]),
        _function("sign", [("m", "i", lambda a: (Decimal(a[_QUANTITY]) > 0) - (Decimal(a[_QUANTITY]) < 0))]),
        _function("isInteger", [("m", "b", lambda a: Decimal(a[_QUANTITY]) % 1 == 0)]),
        _function("asInteger", [("m", "i", lambda a: int(Decimal(a[_QUANTITY])))]),
        _function("asApproximateFloat", [("m", "d", lambda a: float(Decimal(a[_QUANTITY])))]),
    ]


def _quantity(text: str) -> Tagged:
    if not is_quantity(text):
        raise ValueError(f"{text!r} is no quantity")
    return {_QUANTITY: str(Decimal(str(quantity(text))).normalize())}
