"""What a write's query and `DeleteOptions` ask for, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from proa.controlplane._errors import (
    Cause,
    Qualified,
    StatusError,
    bad_request,
    forbidden,
    invalid,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.schema import Conformer, NonconformingError

FIELD_VALIDATION = ("Ignore", "Strict", "Warn")
MAX_MANAGER = 128
_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
PROPAGATION = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True)
class Options:
    """How a create, an update, a patch or a delete is to be done."""

    dry_run: bool = False
    field_validation: str = "Warn"
    manager: str = "kube-apiserver"
    """Who owns the fields that are written: what the client says, or else the program that it is."""
    force: bool = False
    large: bool = False
    """Whether the body is so large that it is worked on in a thread, for others not to wait."""
    asked: bool = False
    """Whether webhooks and policies have been asked already, about the subresource that the write is for."""

    @classmethod
    def parse(cls, query: Mapping[str, str], kind: str, agent: str = "", *, applies: bool = False) -> Options:
        """The options of a query; `kind` is CreateOptions, UpdateOptions, PatchOptions or DeleteOptions.

        Args:
            query: The request's query.
            kind: As what errors name the options.
            agent: The request's `User-Agent`.
            applies: Whether the request is a server-side apply, which has rules of its own.

        Raises:
            StatusError: 422, an option has a value that it cannot have.
        """
        if not query and not applies:
            return _usual(agent)
        causes = _wrong_manager(query, applies=applies)
        dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation", "")
        if dry_run not in {"", "All"}:
            causes.append(not_supported("dryRun", [dry_run], ["All"]))
        if validation not in {"", *FIELD_VALIDATION}:
            causes.append(not_supported("fieldValidation", validation, FIELD_VALIDATION))
        if causes:
            raise invalid_options(kind, causes)
        return cls(
            dry_run=bool(dry_run),
            field_validation=validation or "Warn",
            manager=query.get("fieldManager") or _program(agent),
            force=is_set(query, "force"),
        )


@lru_cache(256)
def _usual(agent: str) -> Options:
    return Options(manager=_program(agent))


def _program(agent: str) -> str:
    """The program that a `User-Agent` names first."""
    name = agent.partition("/")[0]
    return "".join(letter for letter in name if letter.isprintable())[:MAX_MANAGER] or "unknown"


def is_set(query: Mapping[str, str], name: str) -> bool:
    """Whether a query says yes: by whatever is not `false` or `0`, even by nothing behind the name."""
    return query.get(name, "0").lower() not in {"false", "0"}


def _wrong_manager(query: Mapping[str, str], *, applies: bool) -> list[Cause]:
    causes, name = [], query.get("fieldManager", "")
    if applies and not name:
        causes.append(required("fieldManager", "is required for apply patch"))
    if not applies and "force" in query:
        causes.append(forbidden("force", "may not be specified for non-apply patch"))
    if len(name) > MAX_MANAGER:
        why = f"may not be more than {MAX_MANAGER} bytes"
        causes.append(Cause("FieldValueTooLong", "fieldManager", f"Too long: {why}"))
    if not name.isprintable():
        causes.append(invalid_value("fieldManager", name, "should only contain printable characters"))
    return causes


def invalid_options(kind: str, causes: list[Cause]) -> StatusError:
    """422: the request's options are wrong."""
    return invalid(Qualified("meta.k8s.io", kind), "", causes)


@dataclass(frozen=True)
class DeleteOptions:
    """How an object is to be deleted."""

    grace_period: int | None = None
    propagation: str = ""
    uid: str = ""
    resource_version: str = ""
    dry_run: bool = False
    asked: bool = False
    """As in `Options`."""

    @classmethod
    def parse(cls, query: Mapping[str, str], body: Any) -> DeleteOptions:
        """The options of a query and a `DeleteOptions` object; the object wins.

        Raises:
            StatusError: 400 or 422, they cannot be understood, or ask for what is not possible.
        """
        if body is not None and type(body) is not dict:
            raise bad_request("the body of a DELETE must be a DeleteOptions object")
        try:
            given: Document = _delete_options()(body or {})
        except NonconformingError:
            raise bad_request("the body of a DELETE must be a DeleteOptions object") from None
        if given.get("kind", "DeleteOptions") != "DeleteOptions":
            raise bad_request("the body of a DELETE must be a DeleteOptions object")
        grace = given.get("gracePeriodSeconds", integer(query, "gracePeriodSeconds"))
        propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
        orphan = given.get("orphanDependents")
        if orphan is None and "orphanDependents" in query:
            orphan = is_set(query, "orphanDependents")
        dry_run = given.get("dryRun") or [value for value in [query.get("dryRun")] if value]
        causes = _wrong_delete_options(propagation, orphan, dry_run)
        if causes:
            raise invalid_options("DeleteOptions", causes)
        preconditions = given.get("preconditions") or {}
        return cls(
            # Less than nothing is taken for a second, as Kubernetes does.
            grace_period=1 if grace is not None and grace < 0 else grace,
            propagation=propagation or ("Orphan" if orphan else ""),
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            dry_run=bool(dry_run),
        )


@cache
def _delete_options() -> Conformer:
    return Conformer("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")


def _wrong_delete_options(propagation: str, orphan: bool | None, dry_run: Any) -> list[Cause]:
    causes = []
    if propagation and orphan is not None:
        why = "orphanDependents and deletionPropagation cannot be both set"
        causes.append(invalid_value("propagationPolicy", propagation, why))
    if propagation and propagation not in PROPAGATION:
        causes.append(not_supported("propagationPolicy", propagation, (*PROPAGATION, "nil")))
    if dry_run and dry_run != ["All"]:
        causes.append(not_supported("dryRun", dry_run, ["All"]))
    return causes


def integer(query: Mapping[str, str], name: str) -> int | None:
    """A number of a query; None if it is not there.

    Raises:
        StatusError: 400, it is none, or has more than 64 bits.
    """
    text = query.get(name)
    if not text:
        return None
    if not _INTEGER.fullmatch(text) or not -(2**63) <= int(text) < 2**63:
        raise bad_request(f'{name} must be a whole number, and is "{text[:40]}"')
    return int(text)
