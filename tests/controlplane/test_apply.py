"""Server-side apply and managed fields, as pure functions."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.controlplane.apply import (
    ConflictsError,
    Entries,
    Manager,
    Struct,
    UndeclaredError,
    after_apply,
    after_creation,
    after_update,
    apply,
    entries_of,
)
from proa.controlplane.apply._fields import difference, intersection, paths, union
from proa.controlplane.registry import catalogue

NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"


def shape_of(group: str, plural: str, subresource: str = "") -> Struct:
    resource = catalogue().find(group, plural)
    assert resource is not None
    return resource.shape(subresource)


DEPLOYMENT = shape_of("apps", "deployments")
POD = shape_of("", "pods")


def container(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "image": f"{name}:1", **more}


def pod(*containers: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return {"metadata": metadata, "spec": {"containers": list(containers)}}


class Live:
    """An object that several managers apply to and update."""

    def __init__(self, shape: Struct = POD) -> None:
        self.shape = shape
        self.object: dict[str, Any] = {}
        self.entries: Entries = []

    def apply(self, manager: str, config: dict[str, Any], *, force: bool = False) -> dict[str, Any]:
        who = Manager(manager, "Apply", "v1")
        new, claimed = apply(self.entries, self.shape, self.object, config, who)
        self.entries = after_apply(self.entries, self.shape, self.object, new, claimed, who, NOW, force=force)
        self.object = new
        return new

    def update(self, manager: str, new: dict[str, Any]) -> None:
        who = Manager(manager, "Update", "v1")
        self.entries = after_update(self.entries, self.shape, self.object, new, who, LATER)
        self.object = new

    def owned(self, manager: str) -> set[str]:
        found = [entry["fieldsV1"] for entry in self.entries if entry["manager"] == manager]
        return {path for fields in found for path in paths(fields)}


def test_shared_fields_are_removed_when_their_last_owner_gives_them_up() -> None:
    live = Live()
    for manager in ("one", "two"):
        live.apply(manager, pod(container("main"), labels={"a": "1"}))
    assert live.apply("one", pod(container("main")))["metadata"]["labels"] == {"a": "1"}
    assert not live.apply("two", pod(container("main")))["metadata"].get("labels")


def test_a_conflict_names_every_field_and_its_owner() -> None:
    live = Live()
    live.apply("one", pod(container("main"), labels={"a": "1"}))
    with pytest.raises(ConflictsError) as raised:
        live.apply("two", pod({"name": "main", "image": "other"}, labels={"a": "2"}))
    assert [(one.field, one.manager) for one in raised.value.conflicts] == [
        (".metadata.labels.a", '"one"'),
        ('.spec.containers[name="main"].image', '"one"'),
    ]


def test_force_takes_ownership_and_leaves_the_rest() -> None:
    live = Live()
    live.apply("one", pod(container("main"), labels={"a": "1", "b": "1"}))
    live.apply("two", {"metadata": {"labels": {"a": "2"}}}, force=True)
    assert live.object["metadata"]["labels"] == {"a": "2", "b": "1"}
    assert ".metadata.labels.a" not in live.owned("one")
    assert live.owned("two") == {".metadata.labels.a"}


def test_items_of_keyed_lists_come_and_go_one_by_one() -> None:
    live = Live()
    live.apply("one", pod(container("a"), container("b")))
    live.apply("two", pod(container("c")))
    assert [one["name"] for one in live.object["spec"]["containers"]] == ["a", "b", "c"]
    live.apply("one", pod(container("b")))
    assert [one["name"] for one in live.object["spec"]["containers"]] == ["b", "c"]


def test_an_item_that_its_owner_gives_up_stays_while_another_owns_it() -> None:
    live = Live()
    live.apply("one", pod(container("a", env=[{"name": "X", "value": "1"}])))
    live.apply("two", pod({"name": "a", "image": "a:1"}))
    live.apply("one", {"metadata": {}})
    assert live.object["spec"]["containers"] == [{"name": "a", "image": "a:1"}]


def test_the_keys_of_list_items_have_their_defaults() -> None:
    live = Live()
    live.apply("one", pod(container("a", ports=[{"containerPort": 80}])))
    live.apply("two", pod({"name": "a", "ports": [{"containerPort": 80, "protocol": "UDP"}]}))
    assert len(live.object["spec"]["containers"][0]["ports"]) == 2
    key = '.spec.containers[name="a"].ports[containerPort=80,protocol="TCP"]'
    assert key in live.owned("one")


def test_sets_merge_by_value() -> None:
    live = Live()
    live.apply("one", {"metadata": {"finalizers": ["x/a"]}})
    live.apply("two", {"metadata": {"finalizers": ["x/b"]}})
    assert live.object["metadata"]["finalizers"] == ["x/a", "x/b"]
    live.apply("one", {"metadata": {}})
    assert live.object["metadata"]["finalizers"] == ["x/b"]


def test_atomic_structs_have_one_owner() -> None:
    live = Live(DEPLOYMENT)
    live.apply("one", {"spec": {"selector": {"matchLabels": {"a": "1"}}}})
    assert live.owned("one") == {".spec.selector"}
    with pytest.raises(ConflictsError):
        live.apply("two", {"spec": {"selector": {"matchLabels": {"b": "1"}}}})


def test_an_update_takes_what_it_changes_and_forgets_what_it_removes() -> None:
    live = Live()
    live.apply("one", pod(container("a"), container("b"), labels={"x": "1"}))
    live.update("editor", pod({"name": "a", "image": "a:2"}, labels={"x": "1"}))
    assert live.owned("editor") == {'.spec.containers[name="a"].image'}
    assert '.spec.containers[name="b"]' not in live.owned("one")
    assert '.spec.containers[name="a"].image' not in live.owned("one")


def test_an_update_that_changes_nothing_changes_no_owner() -> None:
    live = Live()
    live.apply("one", pod(container("a")))
    before = live.entries
    live.update("editor", pod(container("a")))
    assert live.entries is before


def test_the_configuration_s_order_wins_and_the_rest_keeps_its_place() -> None:
    live = Live()
    live.update("editor", pod(container("a"), container("b"), container("c"), container("d")))
    live.apply("one", pod(container("d"), container("b"), container("new")))
    assert [one["name"] for one in live.object["spec"]["containers"]] == ["a", "c", "d", "b", "new"]


def test_creation_owns_everything_but_what_the_server_sets() -> None:
    document = pod(container("a"), name="p", namespace="n", uid="u", labels={"x": "1"})
    entries = after_creation(
        POD, document | {"status": {"phase": "Pending"}}, Manager("m", "Update", "v1"), NOW
    )
    assert entries[0]["fieldsV1"] == {
        "f:metadata": {"f:labels": {".": {}, "f:x": {}}},
        "f:spec": {"f:containers": {'k:{"name":"a"}': {".": {}, "f:name": {}, "f:image": {}}}},
    }


def test_the_status_subresource_owns_no_spec() -> None:
    claimed = shape_of("", "pods", "status").claimed(
        {"spec": {"nodeName": "n"}, "status": {"phase": "x"}}, ""
    )
    assert claimed == {"f:status": {"f:phase": {}}}


def test_the_updaters_of_long_ago_stand_together() -> None:
    entries: Entries = []
    old: dict[str, Any] = {"metadata": {"labels": {}}}
    for number in range(15):
        new = {"metadata": {"labels": {**old["metadata"]["labels"], f"l{number}": "1"}}}
        who = Manager(f"m{number}", "Update", "v1")
        entries = after_update(entries, POD, old, new, who, f"2026-01-{number + 1:02}T00:00:00Z")
        old = new
    assert len(entries) == 10
    oldest = entries[0]
    assert oldest["manager"] == "ancient-changes"
    assert {f"f:l{number}" for number in range(6)} <= oldest["fieldsV1"]["f:metadata"]["f:labels"].keys()


@pytest.mark.parametrize(
    "config",
    [
        {"spec": {"containerz": []}},
        {"spec": {"containers": ["x"]}},
        {"spec": {"containers": [container("a"), container("a")]}},
        {"spec": "text"},
        {"spec": {"containers": {}}},
    ],
)
def test_what_the_type_has_not_cannot_be_applied(config: dict[str, Any]) -> None:
    with pytest.raises(UndeclaredError):
        Live().apply("one", config)


@pytest.mark.parametrize(
    "given",
    [
        [{"operation": "Eat"}],
        "text",
        [{"operation": "Apply", "fieldsType": "FieldsV1", "fieldsV1": {"x": {}}}],
    ],
)
def test_managed_fields_that_make_no_sense_count_as_not_given(given: Any) -> None:
    live: Entries = [Manager("m", "Update", "v1").entry({"f:data": {}}, NOW)]
    assert entries_of(given, live) is live
    assert entries_of([{}], live) == []


elements = st.sampled_from(["f:a", "f:b", 'k:{"n":"x"}', "v:1"])


def members(fields: dict[str, Any], before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for element, node in fields.items():
        if element != ".":
            if not node or "." in node:
                yield (*before, element)
            yield from members(node, (*before, element))


def from_members(found: set[tuple[str, ...]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for path in found:
        leaf: dict[str, Any] = {}
        for element in reversed(path):
            leaf = {element: leaf}
        result = union(result, leaf)
    return result


sets = st.sets(st.lists(elements, min_size=1, max_size=3).map(tuple), max_size=6)


@given(sets, sets)
def test_fields_are_sets(left: set[tuple[str, ...]], right: set[tuple[str, ...]]) -> None:
    one, other = from_members(left), from_members(right)
    assert set(members(one)) == left
    assert set(members(union(one, other))) == left | right
    assert set(members(difference(one, other))) == left - right
    assert set(members(intersection(one, other))) == left & right
