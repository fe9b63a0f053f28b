"""A Foo is a message; a ConfigMap holds it for all to read: a controller, its owned objects, and Events.

kubectl apply -f examples/operators/foo.yaml       # the CRD, and a Foo
python examples/operators/foo.py
kubectl get configmap foo-hello -o yaml; kubectl describe foo hello
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

import msgspec

from proa.app import App, run
from proa.kube import Api, Client, Merge
from proa.kube.models import Model, Namespaced, ResourceInfo
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector, predicates


class FooSpec(Model, kw_only=True):
    """What is to be said."""

    info: str = ""


class FooStatus(Model, kw_only=True):
    """Whether it may be said."""

    is_bad: bool | None = None


class Foo(Namespaced, kw_only=True):
    """A message."""

    api_version: str = "clux.example.com/v1"
    kind: str = "Foo"
    spec: FooSpec = msgspec.field(default_factory=FooSpec)
    status: FooStatus = msgspec.field(default_factory=FooStatus)

    resource: ClassVar[ResourceInfo] = ResourceInfo(
        group="clux.example.com",
        version="v1",
        kind="Foo",
        plural="foos",
        singular="foo",
        namespaced=True,
    )


class FooController:
    """Keeps a ConfigMap for each Foo; a Foo whose message is bad gets none."""

    def __init__(self, client: Client) -> None:
        self._foos = Api(client, Foo)
        self._configs = Api(client, ConfigMap)
        self._client = client

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Controller[Foo]]:
        """Reconcile until the block is left."""
        configs = Reflector(self._configs)
        controller = Controller(self._foos, self.reconcile, name="foo", on=predicates.generation).owns(
            configs
        )
        async with configs, Recorder(self._client, "foo-controller") as self._recorder, controller:
            yield controller

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring one ConfigMap in line with its Foo."""
        foo = await self._foos.get_opt(ref.name, namespace=ref.namespace)
        if foo is None:
            return Action.await_change()  # what it owns goes with it
        bad = "bad" in foo.spec.info
        if bad:
            self._recorder.event(
                foo, type="Warning", reason="BadInfo", message="the info is bad: not published"
            )
        else:
            await self._publish(foo)
        if foo.status.is_bad != bad:
            status = Merge({"status": {"isBad": bad}})
            await self._foos.patch_status(ref.name, status, namespace=ref.namespace)
        return Action.requeue(3600)

    async def _publish(self, foo: Foo) -> None:
        name, namespace = f"foo-{foo.metadata.name}", foo.metadata.namespace
        data = {"info": foo.spec.info}
        existing = await self._configs.get_opt(name, namespace=namespace)
        if existing is None:
            metadata = ObjectMeta(name=name, namespace=namespace, owner_references=[owner(foo)])
            await self._configs.create(ConfigMap(metadata=metadata, data=data))
        elif existing.data != data:
            existing.data = data
            await self._configs.replace(existing)


def owner(foo: Foo) -> OwnerReference:
    """The reference by which garbage collection finds what belongs to a Foo."""
    return OwnerReference(
        api_version=foo.api_version,
        kind=foo.kind,
        name=foo.metadata.name or "",
        uid=foo.metadata.uid or "",
        controller=True,
        block_owner_deletion=True,
    )


async def main(app: App) -> None:
    """Run until stopped."""
    client = await app.start("client", Client.from_env())
    await app.start("controller", FooController(client).running())
    await app.run_until_stopped()


if __name__ == "__main__":
    raise SystemExit(run(main))
