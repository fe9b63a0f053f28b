"""How jobs are prepared, and what of them stays. Pure."""

from __future__ import annotations

from proa.controlplane._errors import Cause, invalid_value
from proa.controlplane._json import Document

_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")


def prepare_job(job: Document) -> None:
    """A job selects its own pods by its uid, unless it says that it does so itself."""
    metadata, spec = job["metadata"], job["spec"]
    if not spec.get("manualSelector"):
        labels = dict.fromkeys(_JOB_LABELS, metadata["uid"]) | dict.fromkeys(_NAME_LABELS, metadata["name"])
        template, selector = spec["template"]["metadata"], dict(spec.get("selector") or {})
        template["labels"] = labels | template.get("labels", {})
        selector["matchLabels"] = {_JOB_LABELS[0]: metadata["uid"]} | selector.get("matchLabels", {})
        spec["selector"] = selector
    if not metadata.get("labels") and spec["template"]["metadata"].get("labels"):
        metadata["labels"] = dict(spec["template"]["metadata"]["labels"])


def job_update(new: Document, old: Document) -> list[Cause]:
    """What a job is to do stays; where its pods may run can change until it has begun."""
    after, before = new["spec"], old["spec"]
    fixed = [
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
    ]
    if after.get("completionMode") != "Indexed":
        fixed.append("completions")
    found = [
        invalid_value(f"spec.{field}", after.get(field), "field is immutable")
        for field in fixed
        if after.get(field) != before.get(field)
    ]
    count = after.get("completions")
    if "completions" not in fixed and count not in {
        None,
        before.get("completions"),
        after.get("parallelism"),
    }:
        why = "can only be modified in tandem with spec.parallelism"
        found.append(invalid_value("spec.completions", count, why))
    waiting = before.get("suspend") and not (old.get("status") or {}).get("startTime")
    templates = [_template(spec["template"], waiting=bool(waiting)) for spec in (after, before)]
    if templates[0] != templates[1]:
        found.append(invalid_value("spec.template", after["template"], "field is immutable"))
    return found


_SCHEDULING = frozenset({"nodeSelector", "tolerations", "schedulingGates"})


def _template(template: Document, *, waiting: bool) -> Document:
    if not waiting:
        return template
    spec = {name: value for name, value in template["spec"].items() if name not in _SCHEDULING}
    affinity = {k: v for k, v in (spec.pop("affinity", None) or {}).items() if k != "nodeAffinity"}
    spec["containers"] = [{k: v for k, v in one.items() if k != "resources"} for one in spec["containers"]]
    return {"spec": spec, "affinity": affinity}
