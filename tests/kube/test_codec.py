"""Reading and writing JSON: nulls, wrong types, wrong kinds."""

import gc

import pytest

from proa.kube import DecodeError, KubeError, decode, encode
from proa.kube.core.listing import AT_ONCE, STEP, page_steps, read_page
from proa.kube.models.apps_v1 import Deployment
from proa.kube.models.core_v1 import Pod, ResourceRequirements
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.models.rbac_v1 import ClusterRole
from proa.kube.models.resource_v1 import OpaqueDeviceConfiguration
from proa.kube.models.storage_v1 import StorageClass


def test_gos_nil_slices_and_maps_are_empty() -> None:
    assert (
        decode(
            b'{"kind":"ClusterRole","rules":null,"metadata":{"labels":null,"creationTimestamp":null}}',
            ClusterRole,
        )
        == ClusterRole()
    )
    role = decode(b'{"rules":[{"verbs":["get"],"resources":null},null]}', ClusterRole)
    assert (role.rules[0].verbs, role.rules[0].resources, len(role.rules)) == (["get"], [], 1)


def test_nulls_are_dropped_at_any_depth_even_under_a_null_elsewhere() -> None:
    pod = decode(
        b'{"spec":{"containers":[{"name":"a","env":null,"resources":{"limits":null}}],"affinity":null}}', Pod
    )
    assert pod.spec.containers[0].env == []
    assert pod.spec.affinity is None
    assert decode(b'{"parameters":{"a":null,"b":"c"},"provisioner":"p"}', StorageClass).parameters == {
        "b": "c"
    }


def test_free_form_json_keeps_its_nulls() -> None:
    text = b'{"driver":"d","parameters":{"a":null,"b":[null]},"unknown":1}'
    assert decode(text, OpaqueDeviceConfiguration).parameters == {"a": None, "b": [None]}
    typed = decode(b'{"rules":null,"aggregationRule":{"clusterRoleSelectors":null}}', ClusterRole)
    assert typed.aggregation_rule is not None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", r"cannot read Pod: Input data was truncated"),
        (b"<html>", r"cannot read Pod: JSON is malformed"),
        (b"7", r"cannot read Pod: Expected `object`, got `int`"),
        (b'{"spec":{"containers":[{"name":7}]}}', r"cannot read Pod: .*`\$\.spec\.containers\[0\]\.name`"),
        (
            b'{"spec":{"containers":[{"env":null}]}}',
            r"cannot read Pod: .*missing required field `name`.*containers\[0\]",
        ),
        (b'{"metadata":{"name":"\xff"}}', r"cannot read Pod: "),
        (b'{"kind":"Node","apiVersion":"v1"}', r"cannot read Pod: the object is a Node \(v1\)"),
        (b'{"metadata":{"creationTimestamp":"yesterday"}}', r"cannot read Pod: .*creationTimestamp"),
    ],
)
def test_a_wrong_document_is_an_error_with_type_and_path(text: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        decode(text, Pod)
    assert isinstance(caught.value, KubeError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("quantity", ['"much"', "{}", "[1]", '""'])
def test_a_wrong_quantity_is_found_when_reading(quantity: str) -> None:
    with pytest.raises(DecodeError, match=r"limits"):
        decode(f'{{"limits":{{"cpu":{quantity}}}}}', ResourceRequirements)


def test_deep_nesting_is_an_error_and_no_crash() -> None:
    with pytest.raises(DecodeError):
        decode(b'{"parameters":' + b"[" * 100_000, OpaqueDeviceConfiguration)


def test_reading_leaves_the_garbage_collector_as_it_was() -> None:
    assert gc.isenabled()
    with pytest.raises(DecodeError):
        decode(b"7", Pod)
    assert gc.isenabled()
    gc.disable()
    try:
        decode(b"{}", Pod)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_has_no_json_form_is_refused() -> None:
    with pytest.raises(TypeError):
        encode({"a": object()})


def test_encoding_leaves_out_what_is_not_set() -> None:
    assert encode(ObjectMeta(name="a")) == b'{"name":"a"}'
    assert encode(Status(code=404)) == b'{"apiVersion":"v1","kind":"Status","code":404,"metadata":{}}'
    assert b"null" not in encode(Deployment())


def test_a_large_page_is_read_in_steps() -> None:
    text = "x" * 1000
    role = ClusterRole(metadata=ObjectMeta(name="a", annotations={"text": text}))
    body = encode({"metadata": {"resourceVersion": "7"}, "items": [role] * (AT_ONCE // 1000)})
    *steps, page = page_steps(body, ClusterRole)
    assert set(steps) == {None}
    assert len(body) // STEP <= len(steps) <= len(body) // STEP + 1
    assert page == read_page(body, ClusterRole)
    assert page is not None
    assert page.resource_version == "7"
    assert len(page.items) == AT_ONCE // 1000


def test_a_list_is_read_though_some_of_its_items_hold_nulls() -> None:
    items = b'[{"metadata":{"name":"a"}},{"rules":null}]'
    text = b'{"metadata":{"resourceVersion":"7","continue":""},"items":' + items + b"}"
    page = read_page(text, ClusterRole)
    assert [role.metadata.name for role in page.items] == ["a", None]
    assert (page.resource_version, page.continue_) == ("7", None)
    assert read_page(b'{"metadata":{},"items":null}', ClusterRole).items == []
    with pytest.raises(DecodeError, match=r"cannot read ClusterRole: .*`\$\.rules`, in items\[1\] of a list"):
        read_page(b'{"metadata":{},"items":[{},{"rules":7}]}', ClusterRole)
    with pytest.raises(DecodeError, match="JSON is malformed"):
        read_page(b"<html>", ClusterRole)
