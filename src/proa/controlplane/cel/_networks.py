"""CEL's functions for IP addresses and CIDRs, as Kubernetes adds them."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from ._declare import Tagged, function, holds

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_IP, _CIDR = "ip", "cidr"


def network_functions() -> list[FunctionDecl]:
    """Addresses and networks."""
    return [
        function("__string", free=[("m", "s", lambda value: str(next(iter(value.values()))))]),
        function("isIP", free=[("s", "b", lambda text: holds(_ip, text))]),
        function("ip", [("m", "m", _ip_of_cidr)], free=[("s", "m", _ip)]),
        function("family", [("m", "i", lambda ip: ipaddress.ip_address(ip[_IP]).version)]),
        function("isUnspecified", [("m", "b", lambda ip: ipaddress.ip_address(ip[_IP]).is_unspecified)]),
        function("isLoopback", [("m", "b", lambda ip: ipaddress.ip_address(ip[_IP]).is_loopback)]),
        function("isLinkLocalUnicast", [("m", "b", _is_link_local)]),
        function("isLinkLocalMulticast", [("m", "b", _is_link_local_multicast)]),
        function("ip.isCanonical", free=[("s", "b", lambda text: _ip(text)[_IP] == text)]),
        function("masked", [("m", "m", lambda cidr: {_CIDR: str(_network(cidr))})]),
        function("isGlobalUnicast", [("m", "b", _is_global_unicast)]),
        function("isCIDR", free=[("s", "b", lambda text: holds(_cidr, text))]),
        function("cidr", free=[("s", "m", _cidr)]),
        function("containsIP", [("ms", "b", _contains_ip), ("mm", "b", _contains_ip)]),
        function("containsCIDR", [("ms", "b", _contains_cidr), ("mm", "b", _contains_cidr)]),
        function("prefixLength", [("m", "i", lambda cidr: _network(cidr).prefixlen)]),
    ]


def _ip(text: str) -> Tagged:
    return {_IP: str(ipaddress.ip_address(text))}


def _ip_of_cidr(cidr: Tagged) -> Tagged:
    return {_IP: cidr[_CIDR].partition("/")[0]}


def _is_global_unicast(ip: Tagged) -> bool:
    address = ipaddress.ip_address(ip[_IP])
    special = address.is_unspecified or address.is_loopback or address.is_multicast or address.is_link_local
    return not special and ip[_IP] != "255.255.255.255"


def _is_link_local(ip: Tagged) -> bool:
    return ipaddress.ip_address(ip[_IP]).is_link_local


def _is_link_local_multicast(ip: Tagged) -> bool:
    address = ipaddress.ip_address(ip[_IP])
    within = "224.0.0.0/24" if address.version == 4 else "ff02::/16"
    return address in ipaddress.ip_network(within)


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
