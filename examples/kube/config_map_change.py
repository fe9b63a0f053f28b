"""Create, patch, change with conflict retry, and delete; and what goes wrong when one tries twice."""

import asyncio

from proa.kube import AlreadyExistsError, Api, Client, Json, Merge
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta


async def main() -> None:
    async with Client.from_env() as client:
        maps = Api(client, ConfigMap, namespace="default")
        made = await maps.create(ConfigMap(metadata=ObjectMeta(generate_name="example-"), data={"a": "1"}))
        name = made.metadata.name or ""
        try:
            await maps.create(ConfigMap(metadata=ObjectMeta(name=name)))
        except AlreadyExistsError as error:
            print("as expected:", error.reason)
        await maps.patch(name, Merge({"data": {"b": "2"}}))
        await maps.patch(name, Json([{"op": "test", "path": "/data/b", "value": "2"}]), dry_run=True)
        # Read, change, write; again from the start if somebody else was faster.
        changed = await maps.entry(name).modify(lambda found: found.data.update(c="3")).commit()
        print(changed.data)
        await maps.delete(name, uid=made.metadata.uid)


asyncio.run(main())
