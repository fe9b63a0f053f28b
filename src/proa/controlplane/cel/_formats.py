"""CEL's named formats, as Kubernetes adds them: `!format.dns1123Label().validate(self.name).hasValue()`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from proa.controlplane.customresources._formats import has_format
from proa.controlplane.registry._names import (
    base_of_generated,
    dns_1035_label,
    dns_label,
    dns_subdomain,
    label_value,
    qualified_name,
)

from ._declare import Tagged, function

if TYPE_CHECKING:
    from cel_expr_python.cel import FunctionDecl

_FORMAT = "format"


def _formal(name: str) -> Callable[[str], list[str]]:
    return lambda text: [] if has_format(text, name) else [f"invalid {name}"]


_FORMATS: dict[str, Callable[[str], Any]] = {
    "dns1123Label": dns_label,
    "dns1123Subdomain": dns_subdomain,
    "dns1035Label": dns_1035_label,
    "qualifiedName": qualified_name,
    "dns1123LabelPrefix": base_of_generated(dns_label),
    "dns1123SubdomainPrefix": base_of_generated(dns_subdomain),
    "dns1035LabelPrefix": base_of_generated(dns_1035_label),
    "labelValue": label_value,
    "uri": _formal("uri"),
    "uuid": _formal("uuid"),
    "byte": _formal("byte"),
    "date": _formal("date"),
    "datetime": _formal("datetime"),
}


def format_functions() -> list[FunctionDecl]:
    """One function for each format, and what checks texts against them."""
    return [
        *(function(f"format.{name}", free=[("", "m", _made(name))]) for name in _FORMATS),
        function("__namedFormat", free=[("s", "m", _named)]),
        function("__validate", [("ms", "m", _validate)]),
    ]


def _made(name: str) -> Callable[[], Tagged]:
    return lambda: {_FORMAT: name}


def _named(name: str) -> Tagged:
    """The format in a map with one key, or an empty one: `.?format` makes an optional value of it."""
    return {_FORMAT: {_FORMAT: name}} if name in _FORMATS else {}


def _validate(form: Tagged, text: str) -> Tagged:
    problems = list(_FORMATS[form[_FORMAT]](text))
    return {"problems": problems} if problems else {}
