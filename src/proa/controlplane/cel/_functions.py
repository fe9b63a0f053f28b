"""The functions that Kubernetes adds to CEL: lists, sets and URLs here, IP addresses and CIDRs in
`_networks`, quantities and versions in `_numbers`.

What Kubernetes has a type of its own for (a URL, an address, a quantity) is a map with one key here. Missing
are `find` and `findAll`, which need regular expressions of bounded time, `indexOf` of lists, which the
runtime has for strings only, and formats.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ._declare import Tagged, function, holds
from ._networks import network_functions
from ._numbers import number_functions

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_URL = "url"


def declarations() -> list[FunctionDecl]:
    """All functions, for an environment."""
    return [*_list_functions(), *_text_functions(), *network_functions(), *number_functions()]


def _list_functions() -> list[FunctionDecl]:
    return [
        function("isSorted", [("l", "b", _is_sorted)]),
        function("sum", [("l", "*", sum)]),
        function("min", [("l", "*", min)]),
        function("max", [("l", "*", max)]),
        function("sets.contains", free=[("ll", "b", lambda a, b: all(item in a for item in b))]),
        function("sets.intersects", free=[("ll", "b", lambda a, b: any(item in a for item in b))]),
        function("sets.equivalent", free=[("ll", "b", _equivalent)]),
    ]


def _is_sorted(items: list[Any]) -> bool:
    return all(first <= second for first, second in pairwise(items))


def _equivalent(first: list[Any], second: list[Any]) -> bool:
    return all(item in second for item in first) and all(item in first for item in second)


def _text_functions() -> list[FunctionDecl]:
    return [
        function("isURL", free=[("s", "b", lambda text: holds(_url, text))]),
        function("url", free=[("s", "m", _url)]),
        function("getScheme", [("m", "s", lambda url: urlsplit(url[_URL]).scheme)]),
        function("getHost", [("m", "s", lambda url: urlsplit(url[_URL]).netloc.rpartition("@")[2])]),
        function("getHostname", [("m", "s", lambda url: urlsplit(url[_URL]).hostname or "")]),
        function("getPort", [("m", "s", lambda url: str(urlsplit(url[_URL]).port or ""))]),
        function("getEscapedPath", [("m", "s", lambda url: urlsplit(url[_URL]).path)]),
        function("getQuery", [("m", "*", lambda url: parse_qs(urlsplit(url[_URL]).query))]),
    ]


def _url(text: str) -> Tagged:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or " " in text:
        raise ValueError(f"{text!r} is no absolute URL or path")
    return {_URL: text}
