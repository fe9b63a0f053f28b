"""Jobs and cron jobs. Pure."""

from __future__ import annotations

import re
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._cron import problem_of, zones
from proa.controlplane.registry._names import dns_label, qualified_name

from ._indexes import ranges_of
from ._meta import mismatch, selector_of
from ._parts import domain_path, each, names, not_negative

_LABELS = ("controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name")
_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")
_ZONE_PART = re.compile(r"[A-Za-z._0-9+][A-Za-z.\-_0-9+]{0,13}")


def _job(job: Any, path: str) -> list[Cause]:
    del path
    spec, metadata, found = job["spec"], job["metadata"], []
    selector = spec.get("selector")
    if selector is None:
        found.append(required("spec.selector"))
    elif not spec.get("manualSelector"):
        found += _generated(job, selector)
    parsed = selector_of(selector)
    if parsed is not None:
        found += mismatch(parsed, spec["template"], "spec.template")
    if spec.get("completionMode") == "Indexed" and spec.get("completions", 0) > 0:
        host = f"{metadata.get('name', '')}-{spec['completions'] - 1}"
        if dns_label(host):
            why = f"will not able to create pod with invalid DNS label: {host}"
            found.append(invalid_value("metadata.name", metadata.get("name", ""), why))
    return found


def _generated(job: Document, selector: Document) -> list[Cause]:
    """A selector that is made for a job fits the labels that are made for it."""
    metadata, own = job["metadata"], job["spec"]["template"].get("metadata", {}).get("labels", {})
    wanted = dict(zip(_LABELS, [metadata.get("uid"), metadata.get("name")] * 2, strict=True))
    found = []
    for key, value in wanted.items():
        at = f"spec.template.metadata.labels[{key}]"
        if key not in own:
            found.append(required(at, f"must be '{value}'"))
        elif own[key] != value:
            found.append(invalid_value(at, own, f"must be '{value}'"))
    parsed = selector_of(selector)
    if parsed is not None and not parsed.matches(wanted):
        found.append(invalid_value("spec.selector", selector, "`selector` not auto-generated"))
    return found


def job_spec(spec: Any, path: str) -> list[Cause]:
    """What a job is to do, as its own spec or as a cron job's template."""
    found = not_negative(
        spec,
        path,
        *("parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"),
        *("backoffLimitPerIndex", "maxFailedIndexes"),
    )
    if "maxFailedIndexes" in spec and "backoffLimitPerIndex" not in spec:
        found.append(required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if "managedBy" in spec:
        found += domain_path(spec["managedBy"], f"{path}.managedBy")
        found += [too_long(f"{path}.managedBy", 63)] if len(spec["managedBy"]) > 63 else []
    found += _indexed(spec, path)
    if "podFailurePolicy" in spec:
        found += _failure_policy(spec, f"{path}.podFailurePolicy")
    if "successPolicy" in spec:
        found += _success_policy(spec, f"{path}.successPolicy")
    replacement, at = spec.get("podReplacementPolicy"), f"{path}.podReplacementPolicy"
    kinds = ("Failed",) if "podFailurePolicy" in spec else ("Failed", "TerminatingOrFailed")
    return found + one_of(*kinds)(replacement, at) + _restarts(spec, path)


def _restarts(spec: Document, path: str) -> list[Cause]:
    policy = spec["template"]["spec"].get("restartPolicy", "Always")
    at = f"{path}.template.spec.restartPolicy"
    if policy == "Always":
        return [required(at, 'valid values: "OnFailure", "Never"')]
    if policy not in {"OnFailure", "Never"}:
        return [not_supported(at, policy, ["OnFailure", "Never"])]
    if "podFailurePolicy" in spec and policy != "Never":
        why = 'only "Never" is supported when podFailurePolicy is specified'
        return [invalid_value(at, policy, why)]
    return []


def _indexed(spec: Document, path: str) -> list[Cause]:
    mode, found = spec.get("completionMode", "NonIndexed"), []
    if mode not in {"NonIndexed", "Indexed"}:
        found.append(not_supported(f"{path}.completionMode", mode, ["NonIndexed", "Indexed"]))
    most, limit = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    if mode == "NonIndexed":
        for name in ("backoffLimitPerIndex", "maxFailedIndexes"):
            if name in spec:
                why = "requires indexed completion mode"
                found.append(invalid_value(f"{path}.{name}", spec[name], why))
    if mode != "Indexed":
        return found
    count, parallel = spec.get("completions"), spec.get("parallelism", 1)
    if count is None:
        found.append(required(f"{path}.completions", "when completion mode is Indexed"))
    wrong = {
        ("parallelism", "must be less than or equal to 100000"): parallel > 100_000,
        ("maxFailedIndexes", "must be less than or equal to completions"): count is not None
        and (most or 0) > count,
        ("maxFailedIndexes", "must be less than or equal to 100000"): (most or 0) > 100_000,
    }
    if (count or 0) > 100_000 and limit is not None:
        if most is None:
            why = "must be specified when completions is above 100000"
            found.append(required(f"{path}.maxFailedIndexes", why))
        wrong["parallelism", "must be less than or equal to 10000 with that many completions"] = (
            parallel > 10_000
        )
        why = "must be less than or equal to 10000 with that many completions"
        wrong["maxFailedIndexes", why] = (most or 0) > 10_000
    found += [
        invalid_value(f"{path}.{name}", spec.get(name), why) for (name, why), holds in wrong.items() if holds
    ]
    return found


def _failure_policy(spec: Document, path: str) -> list[Cause]:
    policy, found = spec["podFailurePolicy"], []
    pod = spec["template"]["spec"]
    known = {one.get("name") for one in (*pod.get("containers", ()), *pod.get("initContainers", ()))}
    if len(policy.get("rules", ())) > 20:
        found.append(too_many(f"{path}.rules", len(policy["rules"]), 20))
    for rule, at in each(policy, "rules", path):
        action, codes, conditions = (
            rule.get("action", ""),
            rule.get("onExitCodes"),
            rule.get("onPodConditions"),
        )
        if not action:
            found.append(required(f"{at}.action", f"valid values: {_ACTIONS}"))
        elif action == "FailIndex" and "backoffLimitPerIndex" not in spec:
            found.append(invalid_value(f"{at}.action", action, "requires the backoffLimitPerIndex to be set"))
        elif action not in _ACTIONS:
            found.append(not_supported(f"{at}.action", action, _ACTIONS))
        if codes is not None:
            found += _exit_codes(codes, f"{at}.onExitCodes", known)
        for pattern, where in each(rule, "onPodConditions", at):
            found += _condition(pattern, where)
        if len(conditions or ()) > 20:
            found.append(too_many(f"{at}.onPodConditions", len(conditions), 20))
        if (codes is None) == (not conditions):
            why = "specifying one of OnExitCodes and OnPodConditions is required, and not both"
            found.append(invalid_value(at, {}, why))
    return found


def _condition(pattern: Document, path: str) -> list[Cause]:
    found, status = names(qualified_name, pattern.get("type", ""), f"{path}.type"), pattern.get("status", "")
    if not status:
        return [*found, required(f"{path}.status", 'valid values: ["False" "True" "Unknown"]')]
    return found + one_of("False", "True", "Unknown")(status, f"{path}.status")


def _exit_codes(codes: Document, path: str, known: set[Any]) -> list[Cause]:
    operator, values, at = codes.get("operator", ""), codes.get("values", []), f"{path}.values"
    if operator:
        found = one_of("In", "NotIn")(operator, f"{path}.operator")
    else:
        found = [required(f"{path}.operator", 'valid values: ["In" "NotIn"]')]
    if "containerName" in codes and codes["containerName"] not in known:
        why = "must be one of the container or initContainer names in the pod template"
        found.append(invalid_value(f"{path}.containerName", codes["containerName"], why))
    if not values:
        found.append(invalid_value(at, values, "at least one value is required"))
    elif len(values) > 255:
        found.append(too_many(at, len(values), 255))
    for index, value in enumerate(values):
        if operator == "In" and value == 0:
            found.append(invalid_value(f"{at}[{index}]", value, "must not be 0 for the In operator"))
        if value in values[:index]:
            found.append(duplicate(f"{at}[{index}]", value))
    if values != sorted(values):
        found.append(invalid_value(at, values, "must be ordered"))
    return found


def _success_policy(spec: Document, path: str) -> list[Cause]:
    policy, count = spec["successPolicy"], spec.get("completions", 0)
    if spec.get("completionMode") != "Indexed":
        return [invalid_value(path, policy, "requires indexed completion mode")]
    rules, found = policy.get("rules", []), []
    if not rules:
        found.append(required(f"{path}.rules", "at least one rules must be specified"))
    if len(rules) > 20:
        found.append(too_many(f"{path}.rules", len(rules), 20))
    for rule, at in each(policy, "rules", path):
        found += _success_rule(rule, at, count)
    return found


def _success_rule(rule: Document, path: str, completions: int) -> list[Cause]:
    wanted, text, found = rule.get("succeededCount"), rule.get("succeededIndexes"), []
    if wanted is None and text is None:
        found.append(required(path, "at least one of succeededCount or succeededIndexes must be specified"))
    listed = 0
    if text is not None:
        ranges = ranges_of(text, completions)
        listed = sum(map(len, ranges or ()))
        if ranges is None:
            why = "must be increasing indexes and intervals of them, below the number of completions"
            found.append(invalid_value(f"{path}.succeededIndexes", text, why))
    if wanted is not None:
        found += not_negative(rule, path, "succeededCount")
        most = [completions] if text is None else [completions, listed]
        why = "must be less than or equal to the number of indexes"
        found += [invalid_value(f"{path}.succeededCount", wanted, why) for one in most if wanted > one]
    return found


def _cron_job(spec: Any, path: str) -> list[Cause]:
    found, schedule, at = [], spec.get("schedule", ""), f"{path}.schedule"
    if not schedule:
        found.append(required(at))
    elif problem := problem_of(schedule):
        found.append(invalid_value(at, schedule, problem))
    if "timeZone" in spec:
        found += _time_zone(spec["timeZone"], f"{path}.timeZone")
    found += not_negative(
        spec, path, "startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"
    )
    template, where = spec["jobTemplate"].get("spec", {}), f"{path}.jobTemplate.spec"
    if "selector" in template:
        why = "`selector` will be auto-generated"
        found.append(invalid_value(f"{where}.selector", template["selector"], why))
    if template.get("manualSelector"):
        found.append(not_supported(f"{where}.manualSelector", True, ["nil", "false"]))
    return found


def _time_zone(zone: str, path: str) -> list[Cause]:
    if not zone:
        return [invalid_value(path, zone, "timeZone must be nil or non-empty string")]
    parts = zone.split("/")
    if any(part in {".", ".."} or not _ZONE_PART.fullmatch(part) for part in parts):
        return [invalid_value(path, zone, f"unknown time zone {zone}")]
    if zone.lower() == "local":
        known = [] if zone == "Local" else [invalid_value(path, zone, f"unknown time zone {zone}")]
        return [invalid_value(path, zone, "timeZone must be an explicit time zone"), *known]
    if zone not in zones():
        return [invalid_value(path, zone, f"unknown time zone {zone}")]
    return []


def new_cron_job(cron_job: Document) -> list[Cause]:
    """A cron job's name has room for what its jobs' names add to it."""
    name = cron_job["metadata"].get("name", "")
    if len(name) <= 52:
        return []
    return [invalid_value("metadata.name", name, "must be no more than 52 characters")]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "batch.v1.Job": {"": (_job,)},
    "batch.v1.JobSpec": {"": (job_spec,)},
    "batch.v1.CronJobSpec": {
        "": (_cron_job,),
        "concurrencyPolicy": (one_of("Allow", "Forbid", "Replace", sort=False),),
    },
}
