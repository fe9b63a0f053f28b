"""Label selectors: parsed, written and matched as `k8s.io/apimachinery/pkg/labels` does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from proa.kube.errors import InvalidRequestError
from proa.kube.models.meta_v1 import LabelSelector

_NAME = r"[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_DOMAIN = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*"
_KEY = re.compile(rf"(?:(?P<prefix>{_DOMAIN})/)?{_NAME}")
_VALUE = re.compile(rf"(?:{_NAME})?")
_REQUIREMENT = re.compile(
    r"\s*(?:"
    r"!\s*(?P<absent>[^\s,=!()<>]+)"
    r"|(?P<key>[^\s,=!()<>]+)\s*(?:"
    r"(?P<equality>==|=|!=|<|>)\s*(?P<value>[^\s,=!()<>]*)"
    r"|(?<=\s)(?P<set>in|notin)\s*\((?P<values>[^()]*)\)"
    r")?"
    r")\s*(?:,|$)"
)
_EQUALITY = {"=": "in", "==": "in", "!=": "notin", "<": "<", ">": ">"}
_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label: `operator` is `in`, `notin`, `exists`, `!`, `<` or `>`."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        match = _KEY.fullmatch(self.key)
        if not match or len(match["prefix"] or "") > 253:
            raise InvalidRequestError(f"{self.key!r} is no label key such as 'app' or 'example.com/role'")
        if bad := [value for value in self.values if not _VALUE.fullmatch(value)]:
            raise InvalidRequestError(f"{bad[0]!r} is no value that the label {self.key!r} can have")
        if self.operator in {"in", "notin"} and not self.values:
            raise InvalidRequestError(f"the selector for {self.key!r} has no values to choose from")
        if self.operator in {"<", ">"} and not (self.values[0].isdecimal()):
            raise InvalidRequestError(
                f"the selector for {self.key!r} compares with {self.values[0]!r}, no number"
            )

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fulfil the condition; `notin` holds for an absent label, as in Kubernetes."""
        value = labels.get(self.key)
        if self.operator == "in":
            return value in self.values
        if self.operator in {"!", "exists"}:
            return (value is None) == (self.operator == "!")
        if self.operator == "notin":
            return value not in self.values
        if value is None or not re.fullmatch(r"-?[0-9]+", value):
            return False
        return int(value) < int(self.values[0]) if self.operator == "<" else int(value) > int(self.values[0])

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in {"<", ">"}:
            return f"{self.key}{self.operator}{self.values[0]}"
        if len(self.values) == 1:
            return f"{self.key}{'=' if self.operator == 'in' else '!='}{self.values[0]}"
        return f"{self.key} {self.operator} ({','.join(self.values)})"


@dataclass(frozen=True, slots=True)
class Selector:
    """Conditions that must all hold; without any, everything is selected."""

    requirements: tuple[Requirement, ...] = ()

    @classmethod
    def of(cls, source: str | Selector | LabelSelector) -> Selector:
        """Return any form of label selector as a Selector.

        Raises:
            InvalidRequestError: it cannot be read, with the place and the reason.
        """
        if isinstance(source, Selector):
            return source
        return cls.parse(source) if isinstance(source, str) else cls._from_object(source)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `app=web,tier!=db,env in (a,b),!legacy`; raises InvalidRequestError."""
        requirements, position = [], 0
        while position < len(text.rstrip()):
            match = _REQUIREMENT.match(text, position)
            if not match:
                raise InvalidRequestError(
                    f"the label selector {text!r} cannot be read at {text[position:]!r}"
                )
            requirements.append(_requirement(match))
            position = match.end()
        if text.rstrip().endswith(","):
            raise InvalidRequestError(f"the label selector {text!r} ends in a comma")
        return cls(tuple(requirements))

    @classmethod
    def _from_object(cls, selector: LabelSelector) -> Self:
        equal = [Requirement(key, "in", (value,)) for key, value in sorted(selector.match_labels.items())]
        for expression in selector.match_expressions:
            if expression.operator not in _OPERATORS:
                raise InvalidRequestError(f"a label selector knows no operator {expression.operator!r}")
            operator = _OPERATORS[expression.operator]
            equal.append(Requirement(expression.key, operator, tuple(expression.values)))
        return cls(tuple(equal))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Tell whether labels fulfil every condition."""
        for requirement in self.requirements:  # noqa: SIM110 - this is asked of every pod of every list
            if not requirement.matches(labels):
                return False
        return True

    def __str__(self) -> str:
        return ",".join(str(requirement) for requirement in self.requirements)


def _requirement(match: re.Match[str]) -> Requirement:
    if match["absent"]:
        return Requirement(match["absent"], "!")
    if match["equality"]:
        return Requirement(match["key"], _EQUALITY[match["equality"]], (match["value"],))
    if match["set"]:
        values = tuple(sorted({value.strip() for value in match["values"].split(",")}))
        return Requirement(match["key"], match["set"], values)
    return Requirement(match["key"], "exists")
