"""The Service proxy: listens on every Service's address and hands connections to its endpoints."""

from __future__ import annotations

import asyncio
import errno
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self, TypeAlias

from proa.app import logs
from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._routes import SERVICE_NAME, Frontend, Route, routes
from proa.controlplane.network._tcp import TcpListener
from proa.controlplane.network._udp import UdpListener
from proa.kube.models.core_v1 import Service
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

log = logs.get_logger(__name__)

Listener: TypeAlias = TcpListener | UdpListener

DRAIN_SECONDS = 5.0
RETRY_SECONDS = 30.0


def service_of(part: EndpointSlice) -> list[ObjectRef]:
    """Return the Service that a slice belongs to, whoever made it."""
    name = part.metadata.labels.get(SERVICE_NAME)
    return [ObjectRef(name, part.metadata.namespace)] if name else []


class ServiceProxy:
    """Forwards TCP and UDP from Services' addresses and node ports to their endpoints.

    Endpoints that are not ready get no new connections; established ones end by themselves. A Service without
    any endpoint refuses connections. When the block is left connections have five seconds to end.

    Args:
        services: All Services, kept current by the caller.
        slices: All EndpointSlices, likewise.
        recorder: Where a port that can't be listened on is told.
    """

    def __init__(
        self, services: Reflector[Service], slices: Reflector[EndpointSlice], recorder: Recorder
    ) -> None:
        self._services = services
        self._slices_of = slices.store.index(service_of)
        self._recorder = recorder
        self._listeners: dict[ObjectRef, dict[Frontend, Listener]] = {}
        self._closed: set[Listener] = set()
        self._controller = Controller(services, self._reconcile, name="service proxy").watches(
            slices, service_of
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._controller)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
        for listeners in self._listeners.values():
            for listener in listeners.values():
                self._retire(listener)
        await asyncio.gather(*(one.drain(DRAIN_SECONDS) for one in self._closed))

    async def _reconcile(self, ref: ObjectRef) -> Action:
        service = self._services.store.find(ref)
        wanted = routes(service, self._slices_of[ref]) if service is not None else {}
        current = self._listeners.setdefault(ref, {})
        for frontend in current.keys() - wanted.keys():
            self._retire(current.pop(frontend))
        failed = [item for item in wanted.items() if not self._ensure(service, current, *item)]
        if not current:
            del self._listeners[ref]
        self._closed = {one for one in self._closed if one.connections}
        return Action.requeue(RETRY_SECONDS) if failed else Action.await_change()

    def _ensure(
        self, service: Service | None, current: dict[Frontend, Listener], frontend: Frontend, route: Route
    ) -> bool:
        """Listen on a frontend, or give its listener other endpoints; tell whether that worked."""
        if frontend in current:
            current[frontend].balancer.update(route)
            return True
        make = TcpListener if frontend.protocol == "TCP" else UdpListener
        try:
            current[frontend] = make(frontend, Balancer(route))
        except OSError as error:
            why = f"cannot listen on {frontend}: {_reason(error, frontend)}"
            log.warning("service port not served", service=str(service and ObjectRef.of(service)), reason=why)
            if service is not None:
                self._recorder.event(service, type="Warning", reason="PortNotServed", message=why)
            return False
        return True

    def _retire(self, listener: Listener) -> None:
        listener.close()
        self._closed.add(listener)


def _reason(error: OSError, frontend: Frontend) -> str:
    if error.errno == errno.EACCES:
        return (
            f"ports below 1024 are not permitted to this user; choose a higher port for the Service, "
            f"or allow it: sysctl -w net.ipv4.ip_unprivileged_port_start={frontend.port}"
        )
    return error.strerror or str(error)
