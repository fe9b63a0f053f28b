"""Rules for names, labels, annotations and finalizers. Pure. RFC 1123 and RFC 1035, as Kubernetes reads
them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import lru_cache

NameRule = Callable[[str], list[str]]
"""What is wrong with a name, in words; empty if nothing."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_RE = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LABEL_RE = re.compile(_LABEL)
_LABEL_1035_RE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_RE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_VALUE_RE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")

_SUFFIX_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_MAX_GENERATED_BASE = 58


def _too_long(length: int) -> str:
    return f"must be no more than {length} characters"


def dns_subdomain(name: str) -> list[str]:
    """RFC 1123 subdomain: what most objects are named."""
    found = [_too_long(253)] if len(name) > 253 else []
    if not _SUBDOMAIN_RE.fullmatch(name):
        found.append(
            "must be an RFC 1123 subdomain: lower case letters, digits, '-' and '.', "
            "with a letter or digit first and last (for example 'example.com')"
        )
    return found


def dns_label(name: str) -> list[str]:
    """RFC 1123 label: namespaces, ports, containers."""
    found = [_too_long(63)] if len(name) > 63 else []
    if not _LABEL_RE.fullmatch(name):
        found.append(
            "must be an RFC 1123 label: lower case letters, digits and '-', "
            "with a letter or digit first and last (for example 'my-name')"
        )
    return found


def dns_1035_label(name: str) -> list[str]:
    """RFC 1035 label: services."""
    found = [_too_long(63)] if len(name) > 63 else []
    if not _LABEL_1035_RE.fullmatch(name):
        found.append(
            "must be an RFC 1035 label: lower case letters, digits and '-', "
            "with a letter first and a letter or digit last (for example 'my-name')"
        )
    return found


def path_segment(name: str) -> list[str]:
    """Anything that can stand in a path: RBAC's objects, whose names have colons."""
    if name in {".", ".."}:
        return [f"may not be '{name}'"]
    return [f"may not contain '{bad}'" for bad in "/%" if bad in name]


@lru_cache(4096)
def qualified_name(name: str) -> tuple[str, ...]:
    """Keys of labels and annotations: an optional DNS prefix and a slash, then a name."""
    prefix, slash, last = name.rpartition("/")
    found = []
    if slash:
        found += [
            f"prefix part {problem}"
            for problem in (dns_subdomain(prefix) if prefix else ["must not be empty"])
        ]
    if not last:
        found.append("name part must not be empty")
    elif len(last) > 63:
        found.append(f"name part {_too_long(63)}")
    if last and not _QUALIFIED_RE.fullmatch(last):
        found.append(
            "name part must be letters, digits, '-', '_' and '.', with a letter or digit first and last "
            "(for example 'my.name')"
        )
    return tuple(found)


@lru_cache(4096)
def label_value(value: str) -> tuple[str, ...]:
    """Values of labels."""
    found = [_too_long(63)] if len(value) > 63 else []
    if not _VALUE_RE.fullmatch(value):
        found.append(
            "a label's value must be empty, or letters, digits, '-', '_' and '.', "
            "with a letter or digit first and last (for example 'my_value')"
        )
    return tuple(found)


def generated(base: str) -> str:
    """A name that begins with `base` (shortened if need be) and ends at random."""
    suffix = "".join(random.choices(_SUFFIX_ALPHABET, k=5))  # noqa: S311 - not a secret
    return base[:_MAX_GENERATED_BASE] + suffix
