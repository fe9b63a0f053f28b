"""What changes, as it changes, from a list on."""

import asyncio
from contextlib import aclosing

from proa.kube import Api, Client
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta


async def main() -> None:
    async with Client.from_env() as client:
        maps = Api(client, ConfigMap, namespace="default")
        version = (await maps.list_page()).resource_version
        async with aclosing(maps.watch(version, label_selector="example=watch")) as events:
            await maps.create(ConfigMap(metadata=ObjectMeta(name="watched", labels={"example": "watch"})))
            await maps.delete("watched")
            async for event in events:
                if event.type == "BOOKMARK":
                    continue
                print(event.type, event.object.metadata.name)
                if event.type == "DELETED":
                    break


asyncio.run(main())
