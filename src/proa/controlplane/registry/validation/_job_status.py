"""What a job's status may say, and become. Pure.

Most rules hold only where what they are about changes: a job that was let through once can go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import Cause, duplicate, invalid_value, required
from proa.controlplane._json import Document

from ._indexes import overlap, ranges_of
from ._parts import not_negative

_AT = "status.conditions"
_LASTING = ("Failed", "Complete", "FailureTarget")


def job_status(new: Document, old: Document) -> list[Cause]:
    """All that is wrong with a job's new status."""
    change = _Change(new, old)
    counts = ("active", "succeeded", "failed", "ready", "terminating")
    found = not_negative(change.after, "status", *counts) + _uncounted(change.after)
    found += change.conditions()
    found += change.times()
    found += change.pods()
    return found + change.indexes() + change.transitions()


class _Change:
    """A job's status, and what it was."""

    def __init__(self, new: Document, old: Document) -> None:
        self.spec: Document = new["spec"]
        self.after: Document = new.get("status") or {}
        self.before: Document = old.get("status") or {}
        self.true, self.was_true = _true(self.after), _true(self.before)

    def changes(self, *names: str) -> bool:
        """Whether any of some fields or conditions is another than before."""
        return any(
            (name in self.true) != (name in self.was_true)
            if name[0].isupper()
            else self.after.get(name) != self.before.get(name)
            for name in names
        )

    @property
    def finishes(self) -> bool:
        """Whether the job is over now and was not, or the other way round."""
        return bool(self.true & _OVER) != bool(self.was_true & _OVER)

    def conditions(self) -> list[Cause]:
        """Which conditions go together."""
        true, changes = self.true, self.changes
        wrong = [
            {"Complete", "Failed"} <= true and changes("Complete", "Failed"),
            {"Complete", "FailureTarget"} <= true and changes("Complete", "FailureTarget"),
            "Failed" in true and "FailureTarget" not in true and changes("Failed", "FailureTarget"),
            "Complete" in true
            and "SuccessCriteriaMet" not in true
            and changes("Complete", "SuccessCriteriaMet"),
            {"SuccessCriteriaMet", "Failed"} <= true,
            {"SuccessCriteriaMet", "FailureTarget"} <= true,
            "successPolicy" in self.spec and "Complete" in true and "SuccessCriteriaMet" not in true,
        ]
        why = (
            "a job is Complete, by SuccessCriteriaMet, or Failed, by FailureTarget: these do not go together"
        )
        return [invalid_value(_AT, "", why)] * sum(map(bool, wrong))

    def times(self) -> list[Cause]:
        """When a job began and was completed."""
        found, at = [], "status.completionTime"
        began, ended = self.after.get("startTime"), self.after.get("completionTime")
        if self.changes("Complete", "completionTime"):
            if ended is not None and "Complete" not in self.true:
                found.append(invalid_value(at, ended, "cannot be set while the job is not Complete"))
            if ended is None and "Complete" in self.true:
                found.append(required(at, "a Complete job has been completed at some time"))
        if began and ended and ended < began and self.changes("startTime", "completionTime"):
            found.append(invalid_value(at, ended, "cannot be before startTime"))
        if self.true & _OVER and began is None and (self.finishes or self.changes("startTime")):
            found.append(required("status.startTime", "a finished job has begun at some time"))
        if ended and self.before.get("completionTime") not in {None, ended}:
            found.append(invalid_value(at, ended, "cannot be changed"))
        was = self.before.get("startTime")
        if was is not None and was != began and not self.spec.get("suspend"):
            why = "can be removed or changed only while the job is suspended"
            found.append(required("status.startTime", why))
        return found

    def pods(self) -> list[Cause]:
        """What a finished job has no more of."""
        status = self.after
        found: list[Cause] = []
        over = bool(self.true & _OVER)
        found += [
            invalid_value(f"status.{name}", status[name], "must be 0 for a finished job")
            for name in ("active", "terminating")
            if over and status.get(name, 0) > 0 and (self.finishes or self.changes(name))
        ]
        uncounted = status.get("uncountedTerminatedPods") or {}
        if over and any(uncounted.values()) and (self.finishes or self.changes("uncountedTerminatedPods")):
            why = "must be empty for a finished job"
            found.append(invalid_value("status.uncountedTerminatedPods", uncounted, why))
        if status.get("ready", 0) > status.get("active", 0) and self.changes("ready", "active"):
            why = "must be less than or equal to active"
            found.append(invalid_value("status.ready", status["ready"], why))
        return found

    def indexes(self) -> list[Cause]:
        """Which indexes have succeeded and failed."""
        found: list[Cause] = []
        completions, indexed = self.spec.get("completions"), self.spec.get("completionMode") == "Indexed"
        completed, failed = self.after.get("completedIndexes", ""), self.after.get("failedIndexes")
        if self.changes("completedIndexes"):
            at = "status.completedIndexes"
            if completions is not None and ranges_of(completed, completions) is None:
                found.append(invalid_value(at, completed, _FORM))
            if completed and not indexed:
                why = "cannot be set where the completion mode is not Indexed"
                found.append(invalid_value(at, completed, why))
        at, limited = "status.failedIndexes", "backoffLimitPerIndex" in self.spec
        if self.changes("failedIndexes") and failed is not None:
            if limited and completions is not None and ranges_of(failed, completions) is None:
                found.append(invalid_value(at, failed, _FORM))
            if not limited:
                found.append(invalid_value(at, failed, "cannot be set where backoffLimitPerIndex is not"))
        if (
            failed is not None
            and completions is not None
            and self.changes("completedIndexes", "failedIndexes")
        ):
            ranges = [ranges_of(one, completions) for one in (completed, failed)]
            if ranges[0] is None or ranges[1] is None or overlap(ranges[0], ranges[1]):
                found.append(invalid_value(at, failed, "must not overlap with completedIndexes"))
        return found

    def transitions(self) -> list[Cause]:
        """What stays once it is so."""
        lasting = [name for name in _LASTING if name in self.was_true - self.true]
        found = [invalid_value(_AT, "", f"cannot disable the condition {name}") for name in lasting]
        spec = self.spec
        elastic = spec.get("completionMode") == "Indexed" and spec.get("completions") == spec.get(
            "parallelism"
        )
        for name in ("failed", "succeeded"):
            now = self.after.get(name, 0)
            if now < self.before.get(name, 0) and not (elastic and name == "succeeded"):
                found.append(invalid_value(f"status.{name}", now, "cannot be decreased"))
        if "SuccessCriteriaMet" in self.was_true - self.true:
            found.append(invalid_value(_AT, "", "cannot disable the condition SuccessCriteriaMet"))
        if "SuccessCriteriaMet" in self.true - self.was_true:
            why = "the criteria for success cannot be met after"
            found += [invalid_value(_AT, "", f"{why} {name}") for name in _LASTING if name in self.was_true]
        return found


_OVER = frozenset({"Complete", "Failed"})
_FORM = "must be increasing indexes and intervals of them, below the number of completions"


def _true(status: Document) -> frozenset[Any]:
    return frozenset(one.get("type") for one in status.get("conditions") or () if one.get("status") == "True")


def _uncounted(status: Document) -> list[Cause]:
    return list(_wrong_uids(status.get("uncountedTerminatedPods") or {}))


def _wrong_uids(uncounted: Document) -> Iterator[Cause]:
    seen: set[str] = set()
    for kind in ("succeeded", "failed"):
        for index, uid in enumerate(uncounted.get(kind, ())):
            at = f"status.uncountedTerminatedPods.{kind}[{index}]"
            if not uid:
                yield invalid_value(at, uid, "must not be empty")
            elif uid in seen:
                yield duplicate(at, uid)
            seen.add(uid)
