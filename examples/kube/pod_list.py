"""The first call: every pod of the cluster, page by page."""

import asyncio

from proa.kube import Api, Client
from proa.kube.models.core_v1 import Pod


async def main() -> None:
    async with Client.from_env() as client:
        async for pod in Api(client, Pod).list(page_size=100):
            print(pod.metadata.namespace, pod.metadata.name, pod.status.phase)
        print("server", (await client.server_version()).git_version)


asyncio.run(main())
