"""The three patch formats, as plain functions."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.patch import PatchError, json_patch, merge_patch, strategic_merge_patch

POD = "io.k8s.api.core.v1.Pod"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": "b"}, ["c"], ["c"]),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_does_what_rfc_7386_shows(document: Any, patch: Any, expected: Any) -> None:
    assert merge_patch(document, patch) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/list/0", "value": 0}], {"list": [0, 1, 2], "a/b": 1}),
        ([{"op": "add", "path": "/list/-", "value": 3}], {"list": [1, 2, 3], "a/b": 1}),
        ([{"op": "remove", "path": "/a~1b"}], {"list": [1, 2]}),
        ([{"op": "move", "from": "/list/0", "path": "/x"}], {"list": [2], "a/b": 1, "x": 1}),
        ([{"op": "copy", "from": "/list", "path": "/x"}], {"list": [1, 2], "a/b": 1, "x": [1, 2]}),
        ([{"op": "replace", "path": "/list/1", "value": 9}], {"list": [1, 9], "a/b": 1}),
    ],
)
def test_json_patch_does_what_rfc_6902_says(operations: Any, expected: Any) -> None:
    document = {"list": [1, 2], "a/b": 1}
    assert json_patch(document, operations) == expected
    assert document == {"list": [1, 2], "a/b": 1}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/n", "value": True},
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/list/7", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "n", "value": 1},
        {"op": "add", "path": "/n/x", "value": 1},
        {"op": "add", "path": "/x"},
        {"op": "what", "path": "/n"},
        "nonsense",
    ],
)
def test_json_patch_refuses_what_does_not_fit(operation: Any) -> None:
    with pytest.raises(PatchError):
        json_patch({"n": 1, "list": []}, [operation])


def containers(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": name, "image": image} for name, image in pairs]}}


def test_strategic_patch_merges_lists_by_the_key_that_the_type_declares() -> None:
    patched = strategic_merge_patch(
        containers(("a", "1"), ("b", "1")), containers(("b", "2"), ("c", "3")), POD
    )
    assert patched == containers(("a", "1"), ("b", "2"), ("c", "3"))


def test_strategic_patch_deletes_an_item_of_a_list() -> None:
    patch = {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}}
    assert strategic_merge_patch(containers(("a", "1"), ("b", "1")), patch, POD) == containers(("b", "1"))


def test_strategic_patch_replaces_a_list_and_an_object() -> None:
    patch = {"spec": {"containers": [{"$patch": "replace"}, {"name": "z", "image": "9"}]}}
    assert strategic_merge_patch(containers(("a", "1")), patch, POD) == containers(("z", "9"))
    assert strategic_merge_patch({"spec": {"a": 1}}, {"spec": {"$patch": "replace", "b": 2}}, POD) == {
        "spec": {"b": 2}
    }


def test_strategic_patch_retains_only_the_keys_that_it_lists() -> None:
    document = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    patch = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic_merge_patch(document, patch, DEPLOYMENT) == {"spec": {"strategy": {"type": "Recreate"}}}


def test_strategic_patch_deletes_from_lists_of_plain_values() -> None:
    document = {"metadata": {"finalizers": ["a/1", "b/2", "c/3"]}}
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b/2"], "finalizers": ["d/4"]}}
    patched = strategic_merge_patch(document, patch, POD)
    assert patched == {"metadata": {"finalizers": ["a/1", "c/3", "d/4"]}}


def test_strategic_patch_orders_a_list_as_told() -> None:
    patch = {
        "spec": {
            "$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
            "containers": [{"name": "b", "image": "2"}],
        }
    }
    patched = strategic_merge_patch(containers(("a", "1"), ("b", "1")), patch, POD)
    assert patched == containers(("b", "2"), ("a", "1"))


def test_strategic_patch_without_the_merge_key_is_malformed() -> None:
    with pytest.raises(PatchError) as caught:
        strategic_merge_patch(containers(("a", "1")), {"spec": {"containers": [{"image": "2"}]}}, POD)
    assert caught.value.malformed


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(document=st.dictionaries(st.sampled_from(["spec", "metadata", "x"]), VALUES), patch=VALUES)
def test_no_patch_breaks_anything_but_itself(document: dict[str, Any], patch: Any) -> None:
    before = repr(document)
    for apply in (merge_patch, json_patch, lambda one, other: strategic_merge_patch(one, other, POD)):
        with suppress(PatchError):
            apply(document, patch)
        assert repr(document) == before
