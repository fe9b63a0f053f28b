"""The network as a whole: Service proxy, Ingress and DNS on one set of watches."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from proa.controlplane.network._directory import Directory
from proa.controlplane.network._dns import DnsServer
from proa.controlplane.network._ingress import IngressServer
from proa.controlplane.network._proxy import ServiceProxy
from proa.kube import Api, Client
from proa.kube.models.core_v1 import Secret, Service
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.kube.models.networking_v1 import Ingress, IngressClass
from proa.runtime import Recorder, Reflector


class Network:
    """Serves Services, Ingresses and cluster names on this machine's loopback interface.

    ::

        async with Network(client) as network:
            print(network.ingress.url, network.dns.port)

    Entering it returns once all three serve what there is. It speaks to the cluster through the API alone, so
    it can run beside any API server.

    Args:
        client: The API server.
        host: The address that Ingress and DNS listen on; Services and node ports are on loopback always.
        ingress_port: The port of the Ingress server; 0 picks a free one.
        dns_port: The port of the DNS server; 0 picks a free one.
    """

    def __init__(
        self, client: Client, *, host: str = "127.0.0.1", ingress_port: int = 0, dns_port: int = 0
    ) -> None:
        self._services = Reflector(Api(client, Service))
        self._slices = Reflector(Api(client, EndpointSlice))
        self._ingresses = Reflector(Api(client, Ingress))
        self._classes = Reflector(Api(client, IngressClass))
        self._secrets = Reflector(Api(client, Secret), field_selector="type=kubernetes.io/tls")
        self._recorder = Recorder(client, "network")
        directory = Directory(self._services, self._slices)
        self.dns = DnsServer(directory.view(), host, dns_port)
        self.ingress = IngressServer(
            client,
            self._ingresses,
            self._classes,
            self._secrets,
            directory,
            self._recorder,
            host=host,
            port=ingress_port,
        )
        self._proxy = ServiceProxy(self._services, self._slices, self._recorder)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        reflectors: list[Reflector[Any]] = [self._services, self._slices, self._ingresses]
        reflectors += [self._classes, self._secrets]
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._recorder)
            for reflector in reflectors:
                await stack.enter_async_context(reflector)
            for reflector in reflectors:
                await reflector.store.ready()
            await stack.enter_async_context(self.dns)
            await stack.enter_async_context(self.ingress)
            await stack.enter_async_context(self._proxy)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
