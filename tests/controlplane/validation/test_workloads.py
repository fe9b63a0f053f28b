"""Workloads are refused for the reasons and fields that Kubernetes names, all of them at once."""

from collections.abc import Callable
from typing import Any

import pytest

from proa.controlplane.registry.validation._job_status import job_status

Json = dict[str, Any]
Causes = Callable[..., list[str]]
LABELS = {"a": "b"}
SELECTOR = {"matchLabels": LABELS}
T = "spec.template"


def template(**spec: Any) -> Json:
    return {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "m", "image": "i"}], **spec}}


def workload(**spec: Any) -> Json:
    return {"spec": {"selector": SELECTOR, "template": template(), **spec}}


def job(**spec: Any) -> Json:
    return {"spec": {"template": template(restartPolicy="Never"), **spec}}


def indexed(**spec: Any) -> Json:
    return job(completionMode="Indexed", **{"completions": 3, **spec})


def failing(**rule: Any) -> Json:
    return job(podFailurePolicy={"rules": [rule]})


def cron(**spec: Any) -> Json:
    return {"spec": {"schedule": "* * * * *", "jobTemplate": job(), **spec}}


ROLLING = "spec.strategy.rollingUpdate"
CASES: list[tuple[str, Json, list[str]]] = [
    ("deployments.apps", workload(), []),
    (
        "deployments.apps",
        {"spec": {"template": template()}},
        ["Invalid spec.template.metadata.labels", "Required spec.selector"],
    ),
    ("deployments.apps", workload(selector={}), ["Invalid spec.selector"]),
    (
        "deployments.apps",
        workload(selector={"matchExpressions": [{"key": "a", "operator": "Near"}]}),
        ["Invalid spec.selector", "Invalid spec.selector.matchExpressions[0].operator"],
    ),
    (
        "deployments.apps",
        workload(selector={"matchLabels": {"a b": "c d"}}),
        ["Invalid spec.selector", *["Invalid spec.selector.matchLabels"] * 2],
    ),
    (
        "deployments.apps",
        workload(replicas=-1, minReadySeconds=-1),
        ["Invalid spec.minReadySeconds", "Invalid spec.replicas"],
    ),
    (
        "deployments.apps",
        workload(progressDeadlineSeconds=5, minReadySeconds=5),
        ["Invalid spec.progressDeadlineSeconds"],
    ),
    (
        "deployments.apps",
        workload(strategy={"type": "Recreate", "rollingUpdate": {}}),
        ["Forbidden spec.strategy.rollingUpdate"],
    ),
    ("deployments.apps", workload(strategy={"type": "Slow"}), ["NotSupported spec.strategy"]),
    (
        "deployments.apps",
        workload(strategy={"rollingUpdate": {"maxUnavailable": "101%", "maxSurge": "x"}}),
        [f"Invalid {ROLLING}.maxSurge", f"Invalid {ROLLING}.maxUnavailable"],
    ),
    (
        "deployments.apps",
        workload(strategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}),
        [f"Invalid {ROLLING}.maxUnavailable"],
    ),
    (
        "deployments.apps",
        workload(template=template(restartPolicy="Never")),
        [f"NotSupported {T}.spec.restartPolicy"],
    ),
    (
        "deployments.apps",
        workload(template=template(activeDeadlineSeconds=1)),
        [f"Forbidden {T}.spec.activeDeadlineSeconds"],
    ),
    (
        "deployments.apps",
        workload(template={"metadata": {"labels": {"a": "b", "-": "c"}}, "spec": {}}),
        [f"Invalid {T}.labels", f"Required {T}.spec.containers"],
    ),
    ("replicasets.apps", workload(replicas=-1), ["Invalid spec.replicas"]),
    (
        "replicationcontrollers",
        {"spec": {"replicas": -1}},
        ["Invalid spec.replicas", "Required spec.selector", "Required spec.template"],
    ),
    ("statefulsets.apps", {"metadata": {"name": "a.b"}, **workload()}, ["Invalid metadata.name"]),
    (
        "statefulsets.apps",
        workload(podManagementPolicy="Odd", updateStrategy={"type": "Slow"}, ordinals={"start": -1}),
        ["Invalid spec.ordinals.start", "Invalid spec.podManagementPolicy", "Invalid spec.updateStrategy"],
    ),
    (
        "statefulsets.apps",
        workload(updateStrategy={"rollingUpdate": {"partition": -1, "maxUnavailable": 0}}),
        [
            "Invalid spec.updateStrategy.rollingUpdate.maxUnavailable",
            "Invalid spec.updateStrategy.rollingUpdate.partition",
        ],
    ),
    (
        "statefulsets.apps",
        workload(persistentVolumeClaimRetentionPolicy={"whenDeleted": "Keep"}),
        ["NotSupported spec.persistentVolumeClaimRetentionPolicy.whenDeleted"],
    ),
    (
        "daemonsets.apps",
        {"spec": {"template": template()}},
        [f"Invalid {T}.metadata.labels", "Required spec.selector"],
    ),
    (
        "daemonsets.apps",
        workload(updateStrategy={"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}),
        ["Invalid spec.updateStrategy.rollingUpdate.maxSurge"],
    ),
    (
        "daemonsets.apps",
        workload(updateStrategy={"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}),
        ["Required spec.updateStrategy.rollingUpdate.maxUnavailable"],
    ),
    ("controllerrevisions.apps", {"revision": -1}, ["Invalid revision", "Required data"]),
    ("jobs.batch", job(), []),
    ("jobs.batch", {"spec": {"template": template()}}, [f"Required {T}.spec.restartPolicy"]),
    (
        "jobs.batch",
        {"spec": {"template": template(restartPolicy="X")}},
        [f"NotSupported {T}.spec.restartPolicy"] * 2,
    ),
    (
        "jobs.batch",
        job(parallelism=-1, completions=-1),
        ["Invalid spec.completions", "Invalid spec.parallelism"],
    ),
    (
        "jobs.batch",
        job(backoffLimit=-1, ttlSecondsAfterFinished=-1),
        ["Invalid spec.backoffLimit", "Invalid spec.ttlSecondsAfterFinished"],
    ),
    ("jobs.batch", job(completionMode="Odd"), ["NotSupported spec.completionMode"]),
    ("jobs.batch", job(completionMode="Indexed", parallelism=1), ["Required spec.completions"]),
    ("jobs.batch", job(backoffLimitPerIndex=1), ["Invalid spec.backoffLimitPerIndex"]),
    (
        "jobs.batch",
        indexed(maxFailedIndexes=4),
        ["Invalid spec.maxFailedIndexes", "Required spec.backoffLimitPerIndex"],
    ),
    ("jobs.batch", {"metadata": {"name": "x" * 62}, **indexed()}, ["Invalid metadata.name"]),
    ("jobs.batch", job(podReplacementPolicy="Odd"), ["NotSupported spec.podReplacementPolicy"]),
    ("jobs.batch", job(managedBy="me"), ["Invalid spec.managedBy"]),
    ("jobs.batch", job(manualSelector=True), ["Required spec.selector", f"Invalid {T}.metadata.labels"]),
    (
        "jobs.batch",
        job(template={**template(restartPolicy="Never"), "metadata": {"labels": {"job-name": "y"}}}),
        [f"Invalid {T}.metadata.labels[job-name]"],
    ),
    (
        "jobs.batch",
        failing(),
        ["Invalid spec.podFailurePolicy.rules[0]", "Required spec.podFailurePolicy.rules[0].action"],
    ),
    (
        "jobs.batch",
        failing(action="Odd", onExitCodes={"operator": "In", "values": [2, 1, 0], "containerName": "n"}),
        [
            "Invalid spec.podFailurePolicy.rules[0].onExitCodes.containerName",
            "Invalid spec.podFailurePolicy.rules[0].onExitCodes.values",
            "Invalid spec.podFailurePolicy.rules[0].onExitCodes.values[2]",
            "NotSupported spec.podFailurePolicy.rules[0].action",
        ],
    ),
    ("jobs.batch", job(successPolicy={"rules": []}), ["Invalid spec.successPolicy"]),
    (
        "jobs.batch",
        indexed(successPolicy={"rules": [{"succeededIndexes": "0,5", "succeededCount": 4}, {}]}),
        [
            "Invalid spec.successPolicy.rules[0].succeededCount",
            "Invalid spec.successPolicy.rules[0].succeededCount",
            "Invalid spec.successPolicy.rules[0].succeededIndexes",
            "Required spec.successPolicy.rules[1]",
        ],
    ),
    ("cronjobs.batch", cron(), []),
    ("cronjobs.batch", {"metadata": {"name": "x" * 53}, **cron()}, ["Invalid metadata.name"]),
    ("cronjobs.batch", cron(schedule=""), ["Required spec.schedule"]),
    *[
        ("cronjobs.batch", cron(schedule=one), [])
        for one in ("@daily", "@every 1h30m", "*/5 0-6 ? JAN-MAR mon,fri")
    ],
    *[
        ("cronjobs.batch", cron(schedule=one), ["Invalid spec.schedule"])
        for one in (
            "* * * *",
            "60 * * * *",
            "* * * * 7",
            "@often",
            "@every day",
            "5-1 * * * *",
            "*/0 * * * *",
        )
    ],
    ("cronjobs.batch", cron(schedule="TZ=UTC * * * * *"), ["Invalid spec.schedule"]),
    ("cronjobs.batch", cron(timeZone="Nowhere/Land"), ["Invalid spec.timeZone"]),
    ("cronjobs.batch", cron(timeZone="Local"), ["Invalid spec.timeZone"]),
    ("cronjobs.batch", cron(concurrencyPolicy="Odd"), ["NotSupported spec.concurrencyPolicy"]),
    ("cronjobs.batch", cron(failedJobsHistoryLimit=-1), ["Invalid spec.failedJobsHistoryLimit"]),
    (
        "cronjobs.batch",
        cron(jobTemplate=job(manualSelector=True)),
        ["NotSupported spec.jobTemplate.spec.manualSelector"],
    ),
]


@pytest.mark.parametrize(("name", "document", "expected"), CASES, ids=range(len(CASES)))
def test_a_new_workload_is_refused_for_all_that_is_wrong(
    created: Causes, name: str, document: Json, expected: list[str]
) -> None:
    assert created(name, document) == sorted(expected)


OTHER = {"matchLabels": {"a": "c"}}
RELABELLED = {"spec": {**template()["spec"]}, "metadata": {"labels": {"a": "c"}}}
CHANGES: list[tuple[str, Json, Json, list[str]]] = [
    (
        "deployments.apps",
        workload(),
        workload(selector=OTHER, template=RELABELLED),
        ["Invalid spec.selector"],
    ),
    ("daemonsets.apps", workload(), workload(minReadySeconds=-1), ["Invalid spec.minReadySeconds"] * 2),
    ("deployments.apps", workload(), workload(minReadySeconds=-1), ["Invalid spec.minReadySeconds"]),
    ("statefulsets.apps", workload(), workload(serviceName="y"), ["Forbidden spec"]),
    ("statefulsets.apps", workload(), workload(replicas=3), []),
    ("cronjobs.batch", {"metadata": {"name": "x"}, **cron()}, cron(suspend=True), []),
]


@pytest.mark.parametrize(("name", "before", "after", "expected"), CHANGES, ids=range(len(CHANGES)))
def test_what_of_a_workload_stays(
    updated: Causes, name: str, before: Json, after: Json, expected: list[str]
) -> None:
    assert updated(name, before, after) == expected


def test_a_stateful_sets_containers_mount_what_it_claims(created: Causes) -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("data", "other")]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    document = workload(
        template=template(containers=[{"name": "m", "image": "i", "volumeMounts": mounts}]),
        volumeClaimTemplates=[{"metadata": {"name": "data"}, "spec": claim}],
    )
    expected = [f"NotFound {T}.spec.containers[0].volumeMounts[1].name"]
    assert created("statefulsets.apps", document) == expected


def test_a_workloads_counts_add_up(updated: Causes) -> None:
    status = {"replicas": 1, "readyReplicas": 2, "availableReplicas": 3, "observedGeneration": -1}
    assert updated("deployments.apps", workload(), {"status": status}, "status") == [
        "Invalid status.availableReplicas",
        "Invalid status.availableReplicas",
        "Invalid status.observedGeneration",
        "Invalid status.readyReplicas",
    ]


BEGAN, ENDED = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
C, S = "Invalid status.conditions", "status"


def status(*conditions: str, **more: Any) -> Json:
    return {"conditions": [{"type": one, "status": "True"} for one in conditions], **more}


DONE = status("SuccessCriteriaMet", "Complete", startTime=BEGAN, completionTime=ENDED)
JOB_STATUSES: list[tuple[Json, Json, Json, list[str]]] = [
    ({}, {}, DONE, []),
    ({}, {}, status("FailureTarget", "Failed", startTime=BEGAN), []),
    ({}, {}, status("Failed"), [C, f"Required {S}.startTime"]),
    ({}, {}, status("Complete"), [C, f"Required {S}.completionTime", f"Required {S}.startTime"]),
    ({}, {}, status("SuccessCriteriaMet", "FailureTarget"), [C]),
    ({}, {}, status("Complete", "Failed", startTime=BEGAN, completionTime=ENDED), [C, C, C]),
    ({}, {}, status(completionTime=ENDED), [f"Invalid {S}.completionTime"]),
    ({}, {}, {**DONE, "completionTime": "2025-01-01T00:00:00Z"}, [f"Invalid {S}.completionTime"]),
    ({}, {}, {**DONE, "active": 1, "terminating": 1}, [f"Invalid {S}.active", f"Invalid {S}.terminating"]),
    ({}, {}, {"ready": 2, "active": 1, "failed": -1}, [f"Invalid {S}.failed"] * 2 + [f"Invalid {S}.ready"]),
    ({}, DONE, status(startTime=BEGAN), [C] * 2),
    ({}, DONE, {**DONE, "completionTime": "2026-01-03T00:00:00Z"}, [f"Invalid {S}.completionTime"]),
    (
        {},
        {"succeeded": 2, "startTime": BEGAN},
        {"succeeded": 1},
        [f"Invalid {S}.succeeded", f"Required {S}.startTime"],
    ),
    ({"suspend": True}, {"startTime": BEGAN}, {}, []),
    ({}, {}, {"completedIndexes": "0"}, [f"Invalid {S}.completedIndexes"]),
    ({}, {}, {"failedIndexes": "0"}, [f"Invalid {S}.failedIndexes"]),
    (
        {"completionMode": "Indexed", "completions": 5, "backoffLimitPerIndex": 1},
        {},
        {"completedIndexes": "0-2,4", "failedIndexes": "3-4"},
        [f"Invalid {S}.failedIndexes"],
    ),
    (
        {"completionMode": "Indexed", "completions": 5},
        {},
        {"completedIndexes": "0-5"},
        [f"Invalid {S}.completedIndexes"],
    ),
    (
        {},
        {},
        {"uncountedTerminatedPods": {"succeeded": ["a", ""], "failed": ["a"]}},
        [
            f"Duplicate {S}.uncountedTerminatedPods.failed[0]",
            f"Invalid {S}.uncountedTerminatedPods.succeeded[1]",
        ],
    ),
]


@pytest.mark.parametrize(("spec", "before", "after", "expected"), JOB_STATUSES, ids=range(len(JOB_STATUSES)))
def test_a_jobs_status_makes_sense(spec: Json, before: Json, after: Json, expected: list[str]) -> None:
    found = job_status({"spec": spec, "status": after}, {"spec": spec, "status": before})
    assert sorted(f"{one.reason.removeprefix('FieldValue')} {one.field}" for one in found) == sorted(expected)
