"""What annotations can say beyond Python's types: Kubernetes' extensions of OpenAPI."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from msgspec import Meta

Reason = Literal["FieldValueInvalid", "FieldValueForbidden", "FieldValueRequired", "FieldValueDuplicate"]


@dataclass(frozen=True)
class Rule:
    """A rule in CEL that the server checks: `self` is the value, `oldSelf` what it was before.

    `Rule("self.min <= self.max", message="min must not exceed max")`
    """

    rule: str
    """An expression that must be true."""
    message: str | None = None
    """What the server answers where it is not."""
    message_expression: str | None = None
    """The same as an expression in CEL."""
    reason: Reason | None = None
    field_path: str | None = None
    """Which field is to blame: `.min`."""
    optional_old_self: bool | None = None
    """Whether a rule with `oldSelf` is checked on creation as well."""

    def schema(self) -> dict[str, Any]:
        """Return it as it stands in `x-kubernetes-validations`."""
        said = {
            "rule": self.rule,
            "message": self.message,
            "messageExpression": self.message_expression,
            "reason": self.reason,
            "fieldPath": self.field_path,
            "optionalOldSelf": self.optional_old_self,
        }
        return {key: value for key, value in said.items() if value is not None}


def rules(*found: Rule) -> Meta:
    """Have the server check rules on one field."""
    return Meta(extra_json_schema={"x-kubernetes-validations": [rule.schema() for rule in found]})


def list_map(*keys: str) -> Meta:
    """Merge a list's items by these fields (names in the API): several managers can own items of it."""
    return Meta(extra_json_schema={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": [*keys]})


def list_set() -> Meta:
    """Keep each item of a list once; several managers can own items of it."""
    return Meta(extra_json_schema={"x-kubernetes-list-type": "set"})


def list_atomic() -> Meta:
    """Replace a list as a whole: the default, said explicitly."""
    return Meta(extra_json_schema={"x-kubernetes-list-type": "atomic"})


def map_atomic() -> Meta:
    """Replace a map or object as a whole."""
    return Meta(extra_json_schema={"x-kubernetes-map-type": "atomic"})


def map_granular() -> Meta:
    """Merge a map or object field by field: the default, said explicitly."""
    return Meta(extra_json_schema={"x-kubernetes-map-type": "granular"})


def preserve_unknown_fields() -> Meta:
    """Have the server keep what the type does not declare."""
    return Meta(extra_json_schema={"x-kubernetes-preserve-unknown-fields": True})
