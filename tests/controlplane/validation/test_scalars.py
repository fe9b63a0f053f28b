"""Scalars are read as Kubernetes reads them, or the request has not the type's form."""

from typing import Any

import pytest

from proa.controlplane.registry import catalogue
from proa.controlplane.schema import NonconformingError

Json = dict[str, Any]


def read(plural: str, group: str, document: Json) -> Json:
    resource = catalogue().find(group, plural)
    assert resource is not None
    return resource.conformer(document)


def created(time: str) -> Json:
    return {"metadata": {"creationTimestamp": time}}


@pytest.mark.parametrize(
    ("plural", "group", "document"),
    [
        ("secrets", "", {"data": {"a": "%%%"}}),
        ("secrets", "", {"data": {"a": "abc"}}),
        ("configmaps", "", {"binaryData": {"a": "YQ"}}),
        ("deployments", "apps", {"spec": {"replicas": 2**31}}),
        ("pods", "", {"spec": {"activeDeadlineSeconds": 2**63}}),
        ("pods", "", created("")),
        ("pods", "", created("2026-02-30T00:00:00Z")),
        ("pods", "", created("2026-01-01 00:00:00Z")),
        ("pods", "", created("2026-01-01T00:00:00")),
        ("pods", "", created("0001-01-01T00:00:00+01:00")),
        ("leases", "coordination.k8s.io", {"spec": {"renewTime": "2026-01-01T00:00:00Z"}}),
    ],
)
def test_what_cannot_be_read_is_refused(plural: str, group: str, document: Json) -> None:
    with pytest.raises(NonconformingError):
        read(plural, group, document)
    resource = catalogue().find(group, plural)
    assert resource is not None
    assert len(resource.problems(document).mistyped) == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00.987Z", "2026-01-31T12:00:00Z"),
        ("2026-01-01T00:30:00+01:00", "2025-12-31T23:30:00Z"),
    ],
)
def test_times_are_kept_in_utc_and_whole_seconds(given: str, kept: str) -> None:
    assert read("pods", "", created(given))["metadata"]["creationTimestamp"] == kept


def test_lease_times_are_kept_to_the_microsecond() -> None:
    lease = {"spec": {"renewTime": "2026-01-01T01:00:00.000001+01:00"}}
    assert read("leases", "coordination.k8s.io", lease)["spec"]["renewTime"] == "2026-01-01T00:00:00.000001Z"


def test_line_breaks_in_base64_do_not_matter() -> None:
    assert read("secrets", "", {"data": {"a": "YWJj\nZGVm\r\n"}})["data"] == {"a": "YWJjZGVm"}
