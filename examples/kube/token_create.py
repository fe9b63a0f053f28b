"""A short-lived token of a service account, to call the server as that."""

import asyncio
from dataclasses import replace

from proa.kube import Api, ApiError, Client
from proa.kube.models.core_v1 import Pod, ServiceAccount


async def main() -> None:
    async with Client.from_env() as client:
        accounts = Api(client, ServiceAccount, namespace="default")
        await accounts.entry("example").or_create(ServiceAccount).commit()
        token = (await accounts.create_token("example", expiration_seconds=600)).status.token
        weak = replace(client.config, token=token, client_certificate_data=None, client_key_data=None)
    async with Client(weak) as client:
        try:
            print((await Api(client, Pod).list_page(limit=1)).resource_version)
        except ApiError as error:
            print("as expected:", error)


asyncio.run(main())
