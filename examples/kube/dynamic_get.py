"""Kinds that are known when the program runs: by the name that a person types."""

import asyncio
import sys

from proa.kube import Api, Client, DynamicObject
from proa.kube.discovery import discover


async def main(name: str) -> None:
    async with Client.from_env() as client:
        resource = (await discover(client)).resolve(name)
        print(resource.qualified_name, "in", resource.api_version)
        async for obj in Api(client, DynamicObject.of(resource)).list():
            print(obj.kind, obj.metadata.name, sorted(obj.data))


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "ns"))
