"""Types: what is dropped, what is filled in, what is refused; and that every type is ready for it."""

import pytest

from proa.controlplane.registry import catalogue
from proa.controlplane.schema import Conformer, NonconformingError, problems

POD = "io.k8s.api.core.v1.Pod"


def test_empty_fields_go_and_embedded_structs_are_there() -> None:
    conformer = Conformer("io.k8s.api.core.v1.ConfigMap")
    assert conformer({"metadata": {"labels": {}, "name": "a"}, "data": {}}) == {"metadata": {"name": "a"}}
    assert Conformer("io.k8s.api.apps.v1.DeploymentStatus")({}) == {}
    assert not conformer.dropped


def test_a_container_gets_its_defaults_wherever_it_stands() -> None:
    pod = Conformer(POD)({"spec": {"containers": [{"name": "a", "image": "i"}]}})
    assert pod["spec"]["containers"][0]["imagePullPolicy"] == "Always"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 30
    assert pod["metadata"] == {}


def test_what_does_not_fit_is_found_with_its_path() -> None:
    document = {"spec": {"containers": [{"name": 5, "bogus": 1}], "nodeName": {}}, "other": 1}
    with pytest.raises(NonconformingError):
        Conformer(POD)(document)
    found = problems(POD, document)
    assert found.unknown == ["spec.containers[0].bogus", "other"]
    assert [problem.partition(":")[0] for problem in found.mistyped] == [
        "spec.containers[0].name",
        "spec.nodeName",
    ]


def test_defaulting_twice_changes_nothing() -> None:
    for resource in catalogue():
        if resource.type_name:
            once = resource.conformer({})
            assert resource.conformer(once) == once, resource.kind
