"""Calls to webhooks: over TLS, within a time, with answers of a bounded size."""

from __future__ import annotations

import asyncio
import base64
import binascii
import ssl
from typing import Any

import aiohttp

from proa.controlplane._json import Document, UnreadableError, decode, encode
from proa.controlplane.storage import Key, Store

MAX_ANSWER = 3 * 1024 * 1024


class WebhookError(Exception):
    """A webhook cannot be asked, or its answer makes no sense; the message says which."""


class WebhookClient:
    """Posts reviews, to URLs or to services of the cluster. `close` it in the end.

    A service's addresses are those of its endpoints: nothing else has to resolve its name.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._session: aiohttp.ClientSession | None = None
        self._contexts: dict[str, ssl.SSLContext] = {}

    async def close(self) -> None:
        """Ends the connections that are kept open."""
        if self._session is not None:
            await self._session.close()

    async def post(self, config: Document, body: Document, seconds: float) -> Any:
        """The answer to a review.

        Raises:
            WebhookError: There is none, in time and in JSON.
        """
        url, server_name = self._address(config)
        context = await self._context(config.get("caBundle", ""))
        if self._session is None:
            self._session = aiohttp.ClientSession()
        try:
            async with (
                asyncio.timeout(seconds),
                self._session.post(
                    url,
                    data=encode(body),
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    ssl=context,
                    server_hostname=server_name,
                    allow_redirects=False,
                ) as response,
            ):
                data = await response.content.read(MAX_ANSWER + 1)
        except TimeoutError:
            raise WebhookError(
                f"Post {url}: context deadline exceeded: no answer within {seconds} s"
            ) from None
        except (aiohttp.ClientError, OSError) as error:
            raise WebhookError(f"Post {url}: {error}") from error
        if response.status != 200:
            raise WebhookError(f"Post {url}: it answered with {response.status}")
        if len(data) > MAX_ANSWER:
            raise WebhookError(f"Post {url}: its answer is longer than {MAX_ANSWER} bytes")
        try:
            return decode(data)
        except UnreadableError as error:
            raise WebhookError(f"Post {url}: its answer is not JSON: {error}") from error

    def _address(self, config: Document) -> tuple[str, str | None]:
        """The URL to call, and the name that its certificate must have, where that is another."""
        if config.get("url"):
            return str(config["url"]), None
        service = config.get("service") or {}
        name, namespace = service.get("name", ""), service.get("namespace", "")
        host, port = self._endpoint(namespace, name, service.get("port", 443))
        path = str(service.get("path", "")).removeprefix("/")
        return f"https://{host}:{port}/{path}", f"{name}.{namespace}.svc"

    def _endpoint(self, namespace: str, name: str, port: int) -> tuple[str, int]:
        stored = self._store.get(Key("services", namespace, name))
        if stored is None:
            raise WebhookError(f'service "{name}" not found in namespace "{namespace}"')
        ports = [one for one in stored.document()["spec"].get("ports", ()) if one["port"] == port]
        if not ports:
            raise WebhookError(f'service "{name}" has no port {port}')
        for slice_ in self._store.scan("endpointslices.discovery.k8s.io", namespace):
            if slice_.labels.get("kubernetes.io/service-name") == name:
                found = _ready_address(slice_.document(), ports[0].get("name", ""))
                if found is not None:
                    return found
        endpoints = self._store.get(Key("endpoints", namespace, name))
        for subset in endpoints.document().get("subsets", ()) if endpoints else ():
            for address in subset.get("addresses", ()):
                for one in subset.get("ports", ()):
                    if one.get("name", "") == ports[0].get("name", ""):
                        return address["ip"], one["port"]
        raise WebhookError(f'no endpoints available for service "{name}"')

    async def _context(self, bundle: str) -> ssl.SSLContext:
        if bundle not in self._contexts:
            self._contexts[bundle] = await asyncio.to_thread(_make_context, bundle)
        return self._contexts[bundle]


def _ready_address(endpoint_slice: Document, port_name: str) -> tuple[str, int] | None:
    ports = [one["port"] for one in endpoint_slice.get("ports") or () if one.get("name", "") == port_name]
    for endpoint in endpoint_slice.get("endpoints") or ():
        if ports and endpoint.get("conditions", {}).get("ready", True) and endpoint.get("addresses"):
            return endpoint["addresses"][0], ports[0]
    return None


def _make_context(bundle: str) -> ssl.SSLContext:
    try:
        certificates = base64.b64decode(bundle, validate=True).decode() if bundle else None
        return ssl.create_default_context(cadata=certificates)
    except (binascii.Error, ValueError, ssl.SSLError) as error:
        raise WebhookError(f"unable to load root certificates of its caBundle: {error}") from error
