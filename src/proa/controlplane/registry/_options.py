"""What a write's query and `DeleteOptions` ask for, checked."""

from __future__ import annotations

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
PROPAGATION = ("Foreground", "Background", "Orphan")


@dataclass(frozen=True)
class Options:
    """How a create, an update, a patch or a delete is to be done."""

    dry_run: bool = False
    field_validation: str = "Warn"
    checks_duplicates: bool = False
    """Whether the client asked for field validation itself, and so for duplicate fields to be found."""
    manager: str = "kube-apiserver"
    """Who owns the fields that are written: what the client says, or else the program that it is."""
    force: bool = False
    large: bool = False
    """Whether the body is so large that it is worked on in a thread, for others not to wait."""

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
            checks_duplicates=validation in {"Strict", "Warn"},
            manager=query.get("fieldManager") or _program(agent),
            force=query.get("force") in {"true", "1"},
        )


@lru_cache(256)
def _usual(agent: str) -> Options:
    return Options(manager=_program(agent))


def _program(agent: str) -> str:
    """The program that a `User-Agent` names first."""
    name = agent.partition("/")[0]
    return "".join(letter for letter in name if letter.isprintable())[:MAX_MANAGER] or "unknown"


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
        grace = given.get("gracePeriodSeconds", _integer(query, "gracePeriodSeconds"))
        propagation = given.get("propagationPolicy") or query.get("propagationPolicy") or ""
        if given.get("orphanDependents", query.get("orphanDependents") == "true") is True and not propagation:
            propagation = "Orphan"
        dry_run = given.get("dryRun") or [value for value in [query.get("dryRun")] if value]
        causes = _wrong_delete_options(grace, propagation, dry_run)
        if causes:
            raise invalid_options("DeleteOptions", causes)
        preconditions = given.get("preconditions") or {}
        return cls(
            grace_period=grace,
            propagation=propagation,
            uid=preconditions.get("uid") or "",
            resource_version=preconditions.get("resourceVersion") or "",
            dry_run=bool(dry_run),
        )


@cache
def _delete_options() -> Conformer:
    return Conformer("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")


def _wrong_delete_options(grace: Any, propagation: str, dry_run: Any) -> list[Cause]:
    causes = []
    if grace is not None and (type(grace) is not int or grace < 0):
        causes.append(forbidden("gracePeriodSeconds", "must be a whole number of seconds, not negative"))
    if propagation and propagation not in PROPAGATION:
        causes.append(not_supported("propagationPolicy", propagation, (*PROPAGATION, "nil")))
    if dry_run and dry_run != ["All"]:
        causes.append(not_supported("dryRun", dry_run, ["All"]))
    return causes


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise bad_request(f'{name} must be a whole number, not "{text}"') from None
