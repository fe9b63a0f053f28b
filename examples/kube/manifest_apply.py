"""Objects of mixed kinds, applied in order; what leaves the manifest is pruned by its label."""

import asyncio

from proa.kube import Client, manifests
from proa.kube.applying import apply, delete

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings, namespace: example-apply, labels: {example: apply}}
data: {colour: blue}
---
apiVersion: v1
kind: Namespace
metadata: {name: example-apply, labels: {example: apply}}
"""


async def main() -> None:
    objects = manifests.parse(MANIFEST)
    async with Client.from_env() as client:
        async for outcome in apply(client, objects, manager="example", prune="example=apply"):
            print(outcome)
        async for outcome in delete(client, objects):
            print(outcome)


asyncio.run(main())
