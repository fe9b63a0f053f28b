"""ConfigMaps labelled `copy=yes` are copied to the namespace `copies`, for as long as they are there.

    python examples/operators/copier.py

The simulation of it, in which everything goes wrong that can, with 2,000 seeds:

    python -m proa.runtime.testing examples/operators/copier.py:COPYING --seeds 2000
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from proa.app import App, run
from proa.kube import AlreadyExistsError, Api, Client, Merge, NotFoundError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Action, Controller, Finalizer, ObjectRef, Reflector
from proa.runtime.testing import MemoryServer, Scenario, World

TARGET = "copies"
ORIGIN = "copier.example.com/of"
FINALIZER = Finalizer("copier.example.com/copy")


class Copier:
    """Makes, corrects and removes copies."""

    def __init__(self, client: Client) -> None:
        self._configs = Api(client, ConfigMap)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Copy until the block is left."""
        configs = Reflector(self._configs)
        controller = Controller(configs, self.reconcile, name="copier").watches(configs, origin)
        async with configs, controller:
            yield

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the copy of one object in line with it."""
        obj = await self._configs.get_opt(ref.name, namespace=ref.namespace)
        if obj is None or ref.namespace == TARGET:
            return Action.await_change()
        if obj.metadata.labels.get("copy") != "yes":
            if FINALIZER.stands_on(obj):
                await self._remove(obj)
                await FINALIZER.remove(self._configs, obj)
            return Action.await_change()
        return await FINALIZER.reconcile(self._configs, obj, apply=self._copy, cleanup=self._remove)

    async def _copy(self, obj: ConfigMap) -> Action:
        existing = await self._configs.get_opt(copy_name(obj), namespace=TARGET)
        if existing is None:
            metadata = ObjectMeta(
                name=copy_name(obj), namespace=TARGET, annotations={ORIGIN: str(ObjectRef.of(obj))}
            )
            await self._configs.create(ConfigMap(metadata=metadata, data=obj.data))
        elif existing.data != obj.data:
            existing.data = obj.data
            await self._configs.replace(existing)
        return Action.await_change()

    async def _remove(self, obj: ConfigMap) -> Action:
        with suppress(NotFoundError):
            await self._configs.delete(copy_name(obj), namespace=TARGET)
        return Action.await_change()


def copy_name(obj: ConfigMap) -> str:
    """What the copy of an object is called."""
    return f"{obj.metadata.namespace}-{obj.metadata.name}"


def origin(obj: ConfigMap) -> list[ObjectRef]:
    """What an object is a copy of: to be looked at when the copy changes or goes."""
    namespace, _, name = obj.metadata.annotations.get(ORIGIN, "").partition("/")
    return [ObjectRef(name, namespace)] if name else []


# The simulation


async def meddle(world: World) -> None:
    """Do one thing that a user could do: to an object, or to a copy of one."""
    namespace = world.random.choice(("red", "blue"))
    name = world.random.choice(("a", "b", "c"))
    configs = Api(world.client, ConfigMap, namespace=namespace)
    copies = Api(world.client, ConfigMap, namespace=TARGET)
    data = {"value": str(world.random.randrange(1000))}
    labels = {"copy": world.random.choice(("yes", "yes", "no"))}
    with suppress(NotFoundError, AlreadyExistsError):
        match world.random.randrange(8):
            case 0 | 1 | 2:
                await configs.create(ConfigMap(metadata=ObjectMeta(name=name, labels=labels), data=data))
            case 3:
                await configs.patch(name, Merge({"data": data}))
            case 4:
                await configs.patch(name, Merge({"metadata": {"labels": labels}}))
            case 5:
                await configs.delete(name)
            case 6:
                await copies.patch(f"{namespace}-{name}", Merge({"data": data}))
            case 7:
                await copies.delete(f"{namespace}-{name}")


def copied(server: MemoryServer) -> None:
    """Every object that is to be copied is, and there are no other copies."""
    objects = [obj for obj in server.documents("configmaps") if obj["metadata"]["namespace"] != TARGET]
    copies = {obj["metadata"]["name"]: obj["data"] for obj in server.documents("configmaps", TARGET)}
    wanted = {
        f"{obj['metadata']['namespace']}-{obj['metadata']['name']}": obj["data"]
        for obj in objects
        if obj["metadata"]["labels"]["copy"] == "yes"
    }
    assert copies == wanted, f"the copies are {copies}, they should be {wanted}"
    for obj in objects:
        finalizers = [FINALIZER.name] if obj["metadata"]["labels"]["copy"] == "yes" else []
        found = obj["metadata"].get("finalizers", [])
        assert found == finalizers, f"{obj['metadata']['name']} has the finalizers {found}"


COPYING = Scenario(program=lambda client: Copier(client).running(), step=meddle, check=copied)


async def main(app: App) -> None:
    """Run until stopped."""
    client = await app.start("client", Client.from_env())
    await app.start("copier", Copier(client).running())
    await app.run_until_stopped()


if __name__ == "__main__":
    raise SystemExit(run(main))
