"""The server of webhooks: its address, its certificate, and what the API server is told of it."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from proa.app import ProaError, http, logs
from proa.kube import Api, Client, KubeError, Merge
from proa.kube.models.admissionregistration_v1 import (
    MutatingWebhookConfiguration,
    ServiceReference,
    ValidatingWebhookConfiguration,
    WebhookClientConfig,
)
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition
from proa.runtime._background import background
from proa.runtime.admission import _configuration, _reviews
from proa.runtime.admission._certificates import Certificate, issue
from proa.runtime.admission._shared import Held, SharedCertificate
from proa.runtime.admission._webhooks import Webhooks

log = logs.get_logger(__name__)

LARGEST_REVIEW = 16 * 2**20
# How long a replica may go on with a certificate that another has replaced: both are trusted meanwhile.
FOLLOW_SECONDS = 60.0


@dataclass(frozen=True)
class Service:
    """The Service through which the API server reaches the webhooks, in a cluster."""

    name: str
    namespace: str
    port: int = 443


class WebhookServer:
    """Serves webhooks over TLS, and tells the API server where they are.

    ::

        async with WebhookServer(client, "moose.example.com", hooks, service=Service("moose", "default")):
            ...

    The certificate is made here and renewed after two thirds of its life: first the API server is told to
    trust the old and the new one, then the new one is used. With a `service` the certificate is kept in a
    Secret of its namespace, `NAME-webhook`, so that any number of replicas can serve: one renews it, and the
    others take it up within a minute. Without, one process serves: two would overwrite each other's
    certificate in the configuration.

    Entering returns when the API server has been told; leaving stops serving and leaves the configuration: as
    long as nobody serves, what the webhooks are about is refused (`failurePolicy: Fail`).

    Args:
        client: Where the configuration is written.
        name: What it is called; a domain name, as webhooks' names have to be.
        hooks: What is served.
        service: How the API server reaches this; without one, by the host and port themselves.
        host: The address to listen on.
        port: The port to listen on; 0 picks a free one.
        lifetime: How long a certificate is valid.

    Raises (on entering):
        KubeError: the configuration could not be written.
        proa.app.http.AddressError: the address or port cannot be had.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        hooks: Webhooks,
        *,
        service: Service | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        lifetime: timedelta = timedelta(days=90),
    ) -> None:
        self._client = client
        self._name = name
        self._hooks = hooks
        self._service = service
        self._listen = (host, port)
        self._lifetime = lifetime
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._shared = (
            SharedCertificate(client, f"{service.name}-webhook", service.namespace) if service else None
        )
        self._held: Held
        self._stack = AsyncExitStack()
        self.url = ""
        """Where it is reached, once entered."""

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._held = await self._first()
            await asyncio.to_thread(self._held.certificate.load_into, self._context)
            host, port = self._listen
            server = await stack.enter_async_context(
                http.listen(
                    self._application(), host=host, port=port, ssl_context=self._context, name=self._name
                )
            )
            self.url = server.url
            await self._tell(self._held.bundle)
            await stack.enter_async_context(background(self._rotate(), f"{self._name}: certificates"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    # Requests

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=LARGEST_REVIEW)
        for hook in self._hooks.webhooks:
            application.router.add_post(hook.path, _answering(hook.answer))
        for crd, converters in self._hooks.converters.items():

            async def convert(body: bytes, converters: Any = converters) -> _reviews.Document:
                return _reviews.convert(body, converters)

            application.router.add_post(f"/convert/{crd}", _answering(convert))
        return application

    # Certificates and configuration

    async def _issue(self) -> Certificate:
        hosts = [self._listen[0], "localhost"]
        if self._service is not None:
            hosts = [f"{self._service.name}.{self._service.namespace}.svc", *hosts]
        return await asyncio.to_thread(issue, hosts, self._lifetime)

    async def _first(self) -> Held:
        if self._shared is None:
            return Held(await self._issue())
        held = await self._shared.read()
        if held is None or self._renewal_in(held) <= 0:
            held = await self._shared.offer(await self._issue(), held)
        return held

    def _renewal_in(self, held: Held) -> float:
        left = held.certificate.expires - datetime.now(UTC)
        return (left - self._lifetime / 3).total_seconds()

    async def _rotate(self) -> None:
        while True:
            pause = max(1.0, self._renewal_in(self._held))
            await asyncio.sleep(min(pause, FOLLOW_SECONDS) if self._shared else pause)
            try:
                await self.follow()
                if self._renewal_in(self._held) <= 0:
                    await self.rotate()
            except KubeError as error:
                log.warning("cannot renew the certificate yet", name=self._name, error=str(error))

    async def rotate(self) -> None:
        """Replace the certificate now, for all replicas.

        Raises:
            KubeError: the API server could not be told; the old one is still used.
        """
        fresh = await self._issue()
        if self._shared is None:
            await self._use(Held(fresh, self._held.certificate.certificate))
        else:
            await self._use(await self._shared.offer(fresh, self._held))

    async def follow(self) -> None:
        """Take up the certificate that another replica has made, if one has.

        Raises:
            KubeError: the API server did not say.
        """
        held = await self._shared.read() if self._shared else None
        if held is not None and held != self._held:
            await self._use(held)

    async def _use(self, held: Held) -> None:
        await self._tell(held.bundle)
        await asyncio.to_thread(held.certificate.load_into, self._context)
        self._held = held

    async def _tell(self, bundle: bytes) -> None:
        def client_config(path: str) -> WebhookClientConfig:
            if self._service is None:
                return WebhookClientConfig(url=self.url + path, ca_bundle=bundle)
            service = ServiceReference(
                name=self._service.name, namespace=self._service.namespace, port=self._service.port, path=path
            )
            return WebhookClientConfig(service=service, ca_bundle=bundle)

        hooks = self._hooks.webhooks
        if any(hook.kind == "validate" for hook in hooks):
            found = _configuration.validating(self._name, hooks, client_config)
            await _put(Api(self._client, ValidatingWebhookConfiguration), found)
        if any(hook.kind == "mutate" for hook in hooks):
            changed = _configuration.mutating(self._name, hooks, client_config)
            await _put(Api(self._client, MutatingWebhookConfiguration), changed)
        crds = Api(self._client, CustomResourceDefinition)
        for crd in self._hooks.converters:
            await crds.patch(crd, Merge(_configuration.conversion(client_config(f"/convert/{crd}"))))


async def _put(api: Api[Any], obj: Any) -> None:
    """Create a configuration, or give the one there is the same webhooks."""

    def same(found: Any) -> None:
        found.webhooks = obj.webhooks

    await api.entry(obj.metadata.name).or_create(lambda: obj).modify(same).commit()


def _answering(answer: Any) -> Any:
    async def handle(request: web.Request) -> web.Response:
        try:
            return web.json_response(await answer(await request.read()))
        except ProaError as error:
            return web.json_response({"message": str(error)}, status=400)

    return handle
