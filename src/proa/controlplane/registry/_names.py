"""Rules for names, labels, annotations and finalizers. Pure. RFC 1123 and RFC 1035, as Kubernetes reads
them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

NameRule = Callable[[str], Sequence[str]]
"""What is wrong with a name, in words; empty if nothing."""

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_RE = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_LABEL_RE = re.compile(_LABEL)
_LABEL_1035_RE = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_QUALIFIED_RE = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_CONFIG_KEY_RE = re.compile(r"[-._a-zA-Z0-9]+")
_PORT_NAME_RE = re.compile(r"[-a-z0-9]+")
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
    parts = name.split("/")
    if len(parts) > 2:
        return ("a qualified name has one slash at most (for example 'example.com/my-name')",)
    found = []
    if len(parts) == 2:
        prefix = dns_subdomain(parts[0]) if parts[0] else ["must not be empty"]
        found += [f"prefix part {problem}" for problem in prefix]
    last = parts[-1]
    if not last:
        found.append("name part must not be empty")
    elif len(last) > 63:
        found.append(f"name part {_too_long(63)}")
    if not _QUALIFIED_RE.fullmatch(last):
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


def config_key(key: str) -> list[str]:
    """Keys of config maps and secrets."""
    found = [_too_long(253)] if len(key) > 253 else []
    if not _CONFIG_KEY_RE.fullmatch(key):
        found.append("a key must be letters, digits, '-', '_' and '.' (for example 'key.name')")
    if key == "." or key.startswith(".."):
        found.append("must not be '.' or begin with '..'")
    return found


def port_name(name: str) -> list[str]:
    """Names of ports, as IANA has them for services."""
    wrong = {
        "must be no more than 15 characters": len(name) > 15,
        "must be lower case letters, digits and '-'": not _PORT_NAME_RE.fullmatch(name),
        "must contain at least one letter": not re.search("[a-z]", name),
        "must not contain consecutive hyphens": "--" in name,
        "must not begin or end with a hyphen": name.startswith("-") or name.endswith("-"),
    }
    return [why for why, holds in wrong.items() if holds]


def environment_name(name: str) -> list[str]:
    """Names of environment variables: anything printable but `=`."""
    if all(" " <= letter <= "~" and letter != "=" for letter in name):
        return [] if name else ["must not be empty"]
    return ["must be printable ASCII characters other than '='"]


def wildcard_subdomain(name: str) -> list[str]:
    """A DNS name whose first label is `*`."""
    found = [_too_long(253)] if len(name) > 253 else []
    if not name.startswith("*.") or not _SUBDOMAIN_RE.fullmatch(name[2:]):
        found.append("a wildcard must be '*' and a DNS name (for example '*.example.com')")
    return found


def user_id(number: int) -> list[str]:
    """Numbers of users and groups."""
    return [] if 0 <= number <= 2**31 - 1 else ["must be between 0 and 2147483647, inclusive"]


def base_of_generated(rule: NameRule) -> NameRule:
    """The rule for `generateName`: one hyphen at the end is fine, for something follows it."""
    return lambda base: rule(f"{base[:-2]}a" if len(base) > 1 and base.endswith("-") else base)


def generated(base: str) -> str:
    """A name that begins with `base` (shortened if need be) and ends at random."""
    suffix = "".join(random.choices(_SUFFIX_ALPHABET, k=5))  # noqa: S311 - not a secret
    return base[:_MAX_GENERATED_BASE] + suffix
