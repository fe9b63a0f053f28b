"""The functions that Kubernetes adds to CEL: sets, regular expressions and URLs here, lists in `_lists`, IP
addresses and CIDRs in `_networks`, quantities and versions in `_numbers`, named formats in `_formats`, the
authoriser in `_authorizer`.

What Kubernetes has a type of its own for (a URL, an address, a quantity) is a map with one key here.
https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-cel-libraries
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from ._authorizer import authorizer_functions
from ._declare import Tagged, function, holds
from ._find import find, find_all
from ._lists import list_functions
from ._networks import network_functions
from ._numbers import number_functions

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_URL = "url"


def declarations() -> list[FunctionDecl]:
    """All functions, for an environment."""
    from ._formats import format_functions  # which needs the rules for names, and they may need rules

    return [
        *list_functions(),
        *_set_functions(),
        *_text_functions(),
        *network_functions(),
        *number_functions(),
        *format_functions(),
        *authorizer_functions(),
    ]


def _set_functions() -> list[FunctionDecl]:
    return [
        function("sets.contains", free=[("ll", "b", lambda a, b: all(item in a for item in b))]),
        function("sets.intersects", free=[("ll", "b", lambda a, b: any(item in a for item in b))]),
        function("sets.equivalent", free=[("ll", "b", _equivalent)]),
    ]


def _equivalent(first: list[Any], second: list[Any]) -> bool:
    return all(item in second for item in first) and all(item in first for item in second)


def _text_functions() -> list[FunctionDecl]:
    return [
        function("find", [("ss", "s", find)]),
        function("findAll", [("ss", "l", find_all), ("ssi", "l", find_all)]),
        function("jsonpatch.escapeKey", free=[("s", "s", _escaped_key)]),
        function("isURL", free=[("s", "b", lambda text: holds(_url, text))]),
        function("url", free=[("s", "m", _url)]),
        function("getScheme", [("m", "s", lambda url: urlsplit(url[_URL]).scheme)]),
        function("getHost", [("m", "s", lambda url: urlsplit(url[_URL]).netloc.rpartition("@")[2])]),
        function("getHostname", [("m", "s", lambda url: urlsplit(url[_URL]).hostname or "")]),
        function("getPort", [("m", "s", lambda url: str(urlsplit(url[_URL]).port or ""))]),
        function("getEscapedPath", [("m", "s", lambda url: urlsplit(url[_URL]).path)]),
        function("getQuery", [("m", "*", lambda url: parse_qs(urlsplit(url[_URL]).query))]),
    ]


def _escaped_key(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1")


def _url(text: str) -> Tagged:
    parts = urlsplit(text)
    if not (parts.scheme or text.startswith("/")) or " " in text:
        raise ValueError(f"{text!r} is no absolute URL or path")
    return {_URL: text}
