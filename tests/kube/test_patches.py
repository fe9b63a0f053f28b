"""Patches by properties: what may be sent is sent as it is, what no server would accept is refused."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.kube import Apply, InvalidRequestError, Json, Merge, Strategic
from proa.kube.core import patches
from proa.kube.core.patches import OPERATIONS
from proa.kube.core.request import Place
from proa.kube.core.writing import WriteOptions, create, patch, replace
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
DOCUMENT = st.dictionaries(st.text(), JSON, max_size=4)
PLACE = Place(Pod.resource, "web")


@given(DOCUMENT)
def test_a_merge_keeps_every_value_nulls_included(document: dict[str, Any]) -> None:
    for kind in (Merge, Strategic):
        assert msgspec.json.decode(patches.body(kind(document))) == document


@given(st.lists(st.fixed_dictionaries({"op": st.sampled_from(["add", "replace", "test"]), "value": JSON})))
def test_operations_without_a_path_are_refused(operations: list[dict[str, Any]]) -> None:
    if operations:
        with pytest.raises(InvalidRequestError, match="lacks path"):
            patches.body(Json(operations))
    whole = [operation | {"path": "/a"} for operation in operations]
    assert msgspec.json.decode(patches.body(Json(whole))) == whole


@given(st.text())
def test_operations_that_nobody_knows_are_refused(name: str) -> None:
    if name not in OPERATIONS:
        with pytest.raises(InvalidRequestError, match="knows no operation"):
            patches.body(Json([{"op": name, "path": "/a", "value": 1, "from": "/b"}]))


@given(st.text(max_size=200))
def test_a_manager_is_what_the_server_takes_or_an_error(manager: str) -> None:
    acceptable = 0 < len(manager) <= 128 and manager.isprintable()
    change = Apply({"apiVersion": "v1", "kind": "Pod"}, manager=manager)
    if acceptable:
        assert patch(PLACE, "a", change).query["fieldManager"] == manager
    else:
        with pytest.raises(InvalidRequestError, match="the manager"):
            patch(PLACE, "a", change)


@pytest.mark.parametrize(
    ("change", "options", "problem"),
    [
        (
            Apply({"apiVersion": "v1", "kind": "Pod"}, manager="a"),
            {"manager": "b"},
            "names its manager itself",
        ),
        (Json([]), {"field_validation": "Strict"}, "is not checked for unknown fields"),
        (Merge({}), {"field_validation": "strict"}, "'strict' is none of Ignore, Warn, Strict"),
        (Merge({}), {"manager": ""}, "the manager ''"),
    ],
)
def test_combinations_that_make_no_sense_are_refused(
    change: Any, options: WriteOptions, problem: str
) -> None:
    with pytest.raises(InvalidRequestError, match=problem):
        patch(PLACE, "a", change, None, options)


def test_options_become_parameters() -> None:
    options: WriteOptions = {"dry_run": True, "manager": "me", "field_validation": "Warn"}
    expected = {"dryRun": "All", "fieldManager": "me", "fieldValidation": "Warn"}
    pod = Pod(metadata=ObjectMeta(name="a"))
    assert create(PLACE, pod, options).query == expected
    assert replace(PLACE, pod, None, options).query == expected
    assert patch(PLACE, "a", Merge({}), "status", options).query == expected
    assert patch(PLACE, "a", Merge({}), None, {"dry_run": False}).query == {}


def test_what_is_applied_must_fit_the_place() -> None:
    with pytest.raises(InvalidRequestError, match="a ConfigMap cannot be applied to pods"):
        patch(PLACE, "a", Apply(ConfigMap(metadata=ObjectMeta(name="a")), manager="m"))
