"""What garbage collection decides."""

from __future__ import annotations

from datetime import UTC, datetime

from proa.controlplane.controllers._graph import FOREGROUND, ORPHAN, Decision, Graph, Verdict
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference


def config(uid: str, *owners: str, blocks: bool = True, deleting: str | None = None) -> ConfigMap:
    metadata = ObjectMeta(name=uid, namespace="default", uid=uid)
    metadata.owner_references = [
        OwnerReference(api_version="v1", kind="ConfigMap", name=owner, uid=owner, block_owner_deletion=blocks)
        for owner in owners
    ]
    if deleting is not None:
        metadata.deletion_timestamp = datetime(2026, 1, 1, tzinfo=UTC)
        metadata.finalizers = [deleting] if deleting else []
    return ConfigMap(metadata=metadata)


def graph(*objects: ConfigMap) -> Graph:
    made = Graph()
    for obj in objects:
        made.apply(obj)
    return made


def decide(world: Graph, uid: str, *absent: str) -> Decision:
    return world.decide(uid, set(absent).__contains__)


def test_an_object_stays_with_its_owner_and_goes_when_the_server_says_it_is_gone() -> None:
    world = graph(config("owner"), config("child", "owner"))
    assert decide(world, "child").verdict is Verdict.KEEP
    world.remove(config("owner"))
    assert decide(world, "child").verdict is Verdict.KEEP
    assert [owner.uid for owner in world.unknown_owners(config("child", "owner"))] == ["owner"]
    assert decide(world, "child", "owner").verdict is Verdict.DELETE


def test_an_object_without_owners_stays() -> None:
    assert decide(graph(config("a")), "a").verdict is Verdict.KEEP


def test_of_several_owners_only_the_gone_are_dropped() -> None:
    world = graph(config("one"), config("child", "one", "two"))
    assert decide(world, "child", "two") == Decision(Verdict.DETACH, ("two",))


def test_foreground_deletion_waits_for_blocking_dependents_and_takes_theirs_first() -> None:
    world = graph(config("top", deleting=FOREGROUND), config("middle", "top"), config("leaf", "middle"))
    assert decide(world, "top").verdict is Verdict.AWAIT
    assert decide(world, "middle").verdict is Verdict.DELETE_FOREGROUND
    world.remove(config("leaf", "middle"))
    assert decide(world, "middle").verdict is Verdict.DELETE
    world.remove(config("middle", "top"))
    assert decide(world, "top").verdict is Verdict.RELEASE


def test_dependents_that_do_not_block_do_not_hold_up_their_owner() -> None:
    world = graph(config("top", deleting=FOREGROUND), config("child", "top", blocks=False))
    assert decide(world, "top").verdict is Verdict.RELEASE


def test_orphaning_comes_before_anything_else() -> None:
    world = graph(config("top", deleting=ORPHAN), config("child", "top"))
    assert decide(world, "top").verdict is Verdict.ORPHAN
    assert decide(world, "child").verdict is Verdict.KEEP


def test_objects_that_own_each_other_are_left_alone_until_one_is_deleted() -> None:
    world = graph(config("a", "b"), config("b", "a"))
    assert decide(world, "a").verdict is Verdict.KEEP
    world.remove(config("b", "a"))
    assert decide(world, "a", "b").verdict is Verdict.DELETE


def test_a_change_of_owners_moves_the_object() -> None:
    world = graph(config("one"), config("two"), config("child", "one"))
    world.apply(config("child", "two"))
    assert world.dependents("one") == []
    assert [obj.metadata.uid for obj in world.dependents("two")] == ["child"]
