"""What a client sends again by itself, how long it waits for answers, and how to hear of warnings."""

import asyncio

from proa.app import Backoff
from proa.kube import Api, Client, Config, Retry, Timeouts
from proa.kube.models.core_v1 import Node


async def main() -> None:
    config = await asyncio.to_thread(Config.from_env)
    patient = Retry(limit=8, backoff=Backoff(initial=0.5, maximum=20, jitter=0.5))
    async with Client(
        config, retry=patient, timeouts=Timeouts(connect=5, total=30), on_warning=print
    ) as client:
        print(len((await Api(client, Node).list_page()).items), "nodes")
    async with Client(config, retry=None) as client:
        print(len((await Api(client, Node).list_page()).items), "nodes, asked once")


asyncio.run(main())
