"""A connection to a port of a pod, without a Service."""

import asyncio
import sys

from proa.kube import Api, Client
from proa.kube.models.core_v1 import Pod


async def main(name: str, port: int) -> None:
    async with (
        Client.from_env() as client,
        Api(client, Pod, namespace="default").port_forward(name, port) as connection,
    ):
        await connection.write(b"GET / HTTP/1.0\r\n\r\n")
        while data := await connection.read():
            print(data.decode(errors="replace"), end="")


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
