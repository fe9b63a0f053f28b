"""A command in a container, with its input, its output and its end."""

import asyncio
import sys

from proa.kube import Api, Client
from proa.kube.models.core_v1 import Pod


async def main(name: str) -> None:
    async with Client.from_env() as client:
        pods = Api(client, Pod, namespace="default")
        async with pods.exec(name, ["cat"], stdin=True) as process:
            stdout, _, end = await process.communicate(b"hello\n")
        print(stdout.decode(), "ended with", end.code)


asyncio.run(main(sys.argv[1]))
