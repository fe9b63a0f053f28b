"""The lines of a container's log, as they come."""

import asyncio
import sys
from contextlib import aclosing

from proa.kube import Api, Client
from proa.kube.models.core_v1 import Pod


async def main(name: str) -> None:
    async with (
        Client.from_env() as client,
        aclosing(Api(client, Pod, namespace="default").logs(name, follow=True, tail_lines=10)) as lines,
    ):
        async for line in lines:
            print(line.decode(errors="replace"))


asyncio.run(main(sys.argv[1]))
