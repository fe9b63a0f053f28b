"""What is special about deployments, replica sets, stateful sets, daemon sets and jobs. Pure."""

from __future__ import annotations

from proa.controlplane._errors import Cause, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.selectors import from_document

from ._cron import problem_of, zones
from ._metadata import validate_labels
from ._pods import validate_spec

LONGEST_CRON_JOB = 52
"""Its jobs' names have 11 characters more, and are their pods' labels."""


def validate_template(document: Document) -> list[Cause]:
    """A pod template object's template."""
    template = document.get("template", {})
    return validate_spec(template.get("spec", {}), "template.spec")


def validate_replicas(document: Document) -> list[Cause]:
    """The numbers of a spec that may not be negative."""
    return [
        invalid_value(f"spec.{field}", document["spec"][field], "must be greater than or equal to 0")
        for field in _COUNTS
        if document["spec"].get(field, 0) < 0
    ]


_COUNTS = (
    "replicas",
    "minReadySeconds",
    "revisionHistoryLimit",
    "parallelism",
    "completions",
    "backoffLimit",
)


def validate_workload(document: Document) -> list[Cause]:
    """Replicas, the selector, and the template that it must select."""
    spec, found = document["spec"], validate_replicas(document)
    selector, template = spec.get("selector"), spec["template"]
    labels = template["metadata"].get("labels", {})
    if selector is None:
        found.append(required("spec.selector"))
    else:
        found += _validate_selector(selector)
    parsed = from_document(selector) if not found or selector else None
    if parsed is None or not parsed.matches(labels):
        why = "`selector` does not match template `labels`"
        found.append(invalid_value("spec.template.metadata.labels", labels, why))
    found += validate_labels(labels, "spec.template.metadata.labels")
    claims = [claim["metadata"].get("name", "") for claim in spec.get("volumeClaimTemplates", ())]
    found += validate_spec(template["spec"], "spec.template.spec", claims)
    if template["spec"]["restartPolicy"] != "Always":
        policy = template["spec"]["restartPolicy"]
        found.append(not_supported("spec.template.spec.restartPolicy", policy, ["Always"]))
    return found


def _validate_selector(selector: Document) -> list[Cause]:
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return [invalid_value("spec.selector", selector, "empty selector is invalid for deployment")]
    found = validate_labels(selector.get("matchLabels", {}), "spec.selector.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions", ())):
        found += _validate_expression(expression, f"spec.selector.matchExpressions[{index}]")
    return found


def _validate_expression(expression: Document, field: str) -> list[Cause]:
    operator, values = expression.get("operator", ""), expression.get("values", [])
    match operator:
        case "In" | "NotIn":
            why = "must be specified when `operator` is 'In' or 'NotIn'"
            return [] if values else [required(f"{field}.values", why)]
        case "Exists" | "DoesNotExist":
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            return [Cause("FieldValueForbidden", f"{field}.values", f"Forbidden: {why}")] if values else []
    return [invalid_value(f"{field}.operator", operator, "not a valid selector operator")]


def validate_deployment(deployment: Document) -> list[Cause]:
    """A workload with a strategy."""
    found = validate_workload(deployment)
    kind = deployment["spec"]["strategy"]["type"]
    if kind not in {"Recreate", "RollingUpdate"}:
        found.append(not_supported("spec.strategy.type", kind, ["Recreate", "RollingUpdate"]))
    elif kind == "Recreate" and deployment["spec"]["strategy"].get("rollingUpdate"):
        why = "may not be specified when strategy `type` is 'Recreate'"
        found.append(Cause("FieldValueForbidden", "spec.strategy.rollingUpdate", f"Forbidden: {why}"))
    return found


def selector_is_immutable(new: Document, old: Document) -> list[Cause]:
    """What a workload selects cannot change."""
    if new["spec"].get("selector") == old["spec"].get("selector"):
        return []
    return [invalid_value("spec.selector", new["spec"].get("selector"), "field is immutable")]


def revision_is_immutable(new: Document, old: Document) -> list[Cause]:
    """A recorded revision's data cannot change."""
    if new.get("data") == old.get("data"):
        return []
    return [invalid_value("data", new.get("data"), "field is immutable")]


_JOB_LABELS = ("batch.kubernetes.io/controller-uid", "controller-uid")
_NAME_LABELS = ("batch.kubernetes.io/job-name", "job-name")


def prepare_job(job: Document) -> None:
    """A job selects its own pods by its uid, unless it says that it does so itself."""
    metadata, spec = job["metadata"], job["spec"]
    if not spec.get("manualSelector"):
        labels = dict.fromkeys(_JOB_LABELS, metadata["uid"]) | dict.fromkeys(_NAME_LABELS, metadata["name"])
        template = spec["template"]["metadata"]
        template["labels"] = template.get("labels", {}) | labels
        spec["selector"] = {"matchLabels": {_JOB_LABELS[0]: metadata["uid"]}}
    if not metadata.get("labels") and spec["template"]["metadata"].get("labels"):
        metadata["labels"] = dict(spec["template"]["metadata"]["labels"])


def validate_job(job: Document) -> list[Cause]:
    """Counts and template of a job."""
    return validate_replicas(job) + _validate_job_template(job["spec"]["template"], "spec.template")


def _validate_job_template(template: Document, field: str) -> list[Cause]:
    found = validate_spec(template["spec"], f"{field}.spec")
    policy = template["spec"]["restartPolicy"]
    if policy == "Always":
        found.append(required(f"{field}.spec.restartPolicy", 'valid values: "OnFailure", "Never"'))
    return found


def job_is_immutable(new: Document, old: Document) -> list[Cause]:
    """A job's selector, completions and template cannot change (the template can while it is suspended)."""
    fixed = ["selector", "completionMode"]
    if not old["spec"].get("suspend"):
        fixed.append("template")
    if old["spec"].get("completionMode") != "Indexed":
        fixed.append("completions")
    return [
        invalid_value(f"spec.{field}", new["spec"].get(field), "field is immutable")
        for field in fixed
        if new["spec"].get(field) != old["spec"].get(field)
    ]


def validate_cron_job(cron_job: Document) -> list[Cause]:
    """Schedule, policy and template of a cron job."""
    spec, found = cron_job["spec"], []
    if not spec.get("schedule"):
        found.append(required("spec.schedule"))
    elif problem := problem_of(spec["schedule"]):
        found.append(invalid_value("spec.schedule", spec["schedule"], problem))
    if "timeZone" in spec and spec["timeZone"] not in zones():
        found.append(invalid_value("spec.timeZone", spec["timeZone"], "there is no such time zone"))
    name = cron_job["metadata"].get("name", "")
    if len(name) > LONGEST_CRON_JOB:
        why = f"must be no more than {LONGEST_CRON_JOB} characters"
        found.append(invalid_value("metadata.name", name, why))
    if spec["concurrencyPolicy"] not in {"Allow", "Forbid", "Replace"}:
        policies = ["Allow", "Forbid", "Replace"]
        found.append(not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], policies))
    field = "spec.jobTemplate.spec.template"
    return found + _validate_job_template(spec["jobTemplate"]["spec"]["template"], field)
