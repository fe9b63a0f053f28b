"""The Ingress server: HTTP and HTTPS on one port, to Services by host and path."""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Self

import msgspec
from aiohttp import web

from proa.app import logs
from proa.controlplane.network._certificates import (
    Certificates,
    Named,
    UnusableSecretError,
    context_of,
    wanted_secrets,
)
from proa.controlplane.network._directory import Directory
from proa.controlplane.network._forward import Forwarder, plain
from proa.controlplane.network._ingress_rules import Rules, served
from proa.controlplane.network._listening import listen_tcp
from proa.kube import Api, Client, ConflictError, NotFoundError
from proa.kube.models.core_v1 import Secret
from proa.kube.models.networking_v1 import (
    Ingress,
    IngressClass,
    IngressLoadBalancerIngress,
    IngressLoadBalancerStatus,
)
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

log = logs.get_logger(__name__)

HELLO_SECONDS = 10.0
"""How long a connection may take to say its first byte, and with TLS to agree on keys."""

DRAIN_SECONDS = 5.0
EXHAUSTED_SECONDS = 0.5
TLS_HANDSHAKE = b"\x16"


class IngressServer:
    """Serves all Ingresses without a class or of one with its controller, and `NAME.NAMESPACE.localhost`.

    Whether a connection is HTTP or HTTPS its first byte tells. When the block is left requests have five
    seconds to end.

    Args:
        client: The API server, for the Ingresses' status.
        ingresses: All Ingresses, kept current by the caller.
        classes: All IngressClasses, likewise.
        secrets: The Secrets of type `kubernetes.io/tls`, likewise.
        directory: Where Services are.
        recorder: Where a Secret that is of no use is told.
        host: The address to listen on.
        port: The port; 0 picks a free one.
    """

    def __init__(
        self,
        client: Client,
        ingresses: Reflector[Ingress],
        classes: Reflector[IngressClass],
        secrets: Reflector[Secret],
        directory: Directory,
        recorder: Recorder,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.host = host
        self.port = port
        self._api = Api(client, Ingress)
        self._ingresses = ingresses.store
        self._classes = classes.store
        self._secrets = secrets.store
        self._directory = directory
        self._recorder = recorder
        self._rules = Rules(())
        self._loaded: dict[tuple[str, str], tuple[Secret, ssl.SSLContext | None]] = {}
        self._greeting: set[asyncio.Task[None]] = set()
        self._controller = (
            Controller(ingresses, self._reconcile, name="ingress")
            .watches(secrets, self._concerned)
            .watches(classes, lambda _: [ObjectRef.of(one) for one in self._ingresses])
        )
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._certificates = await asyncio.to_thread(Certificates)
        self._rules = Rules(self._served())
        self._socket = listen_tcp(self.host, self.port, "Ingress server")
        self.port = self._socket.getsockname()[1]
        async with AsyncExitStack() as stack:
            stack.callback(self._socket.close)
            self._forwarder = await stack.enter_async_context(Forwarder())
            self._server = web.Server(
                self._handle, handler_cancellation=True, access_log=None, auto_decompress=False
            )
            stack.push_async_callback(self._server.shutdown, DRAIN_SECONDS)
            await stack.enter_async_context(self._controller)
            self._loop.add_reader(self._socket, self._accept)
            stack.push_async_callback(self._stop_accepting)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{self.host}:{self.port}"

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        host = request.host.rpartition("]")[2].partition(":")[0].lower().rstrip(".")
        path = request.rel_url.path
        target = self._rules.find(host, path)
        if target is None:
            return plain(
                404, f"no Ingress has a rule for {host}{path}, and it is no NAME.NAMESPACE.localhost"
            )
        balancer = self._directory.find(target)
        if balancer is None:
            port = "" if target.port is None else f" with port {target.port}"
            return plain(503, f"there is no Service {target.service} in {target.namespace}{port}")
        return await self._forwarder.forward(request, balancer)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                    self._rest()
                    return
                continue  # the client gave up before it was accepted
            connection.setblocking(False)
            task = self._loop.create_task(self._greet(connection))
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _rest(self) -> None:
        self._loop.remove_reader(self._socket)
        self._loop.call_later(EXHAUSTED_SECONDS, self._wake)

    def _wake(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    async def _greet(self, connection: socket.socket) -> None:
        """Look at the first byte, and hand the connection to HTTP or to TLS and then HTTP."""
        try:
            async with asyncio.timeout(HELLO_SECONDS):
                first = await _peek(connection)
                if not first:
                    connection.close()
                    return
                context = self._certificates.context if first == TLS_HANDSHAKE else None
                await self._loop.connect_accepted_socket(self._server, connection, ssl=context)
        except (OSError, TimeoutError) as error:
            log.debug("connection refused", error=str(error))
            connection.close()
        except BaseException:
            connection.close()
            raise

    async def _stop_accepting(self) -> None:
        self._loop.remove_reader(self._socket)
        for task in self._greeting:
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)

    async def _reconcile(self, ref: ObjectRef) -> Action:
        mine = self._served()
        self._rules = Rules(mine)
        self._certificates.update(self._contexts(mine))
        ingress = self._ingresses.find(ref)
        if ingress in mine:
            await self._tell_address(ingress)
        return Action.await_change()

    def _served(self) -> list[Ingress]:
        return served(self._ingresses, self._classes)

    def _contexts(self, mine: list[Ingress]) -> list[Named]:
        """Return the certificates of all hosts; where one is of no use the self-signed one serves."""
        found: list[Named] = []
        used: dict[tuple[str, str], tuple[Secret, ssl.SSLContext | None]] = {}
        for host, namespace, name in wanted_secrets(mine):
            secret = self._secrets.get(name, namespace)
            if secret is None:
                continue
            known = used.get((namespace, name)) or self._loaded.get((namespace, name))
            context = known[1] if known is not None and known[0] is secret else self._load(secret)
            used[namespace, name] = (secret, context)
            if context is not None:
                found.append((host, context))
        self._loaded = used
        return found

    def _load(self, secret: Secret) -> ssl.SSLContext | None:
        try:
            return context_of(secret)
        except UnusableSecretError as error:
            why = f"the Ingress server cannot use it: {error}"
            self._recorder.event(secret, type="Warning", reason="InvalidCertificate", message=why)
            return None

    async def _tell_address(self, ingress: Ingress) -> None:
        wanted = IngressLoadBalancerStatus(ingress=[IngressLoadBalancerIngress(ip=self.host)])
        if ingress.status.load_balancer == wanted:
            return
        status = msgspec.structs.replace(ingress.status, load_balancer=wanted)
        with suppress(NotFoundError, ConflictError):
            await self._api.replace_status(msgspec.structs.replace(ingress, status=status))

    def _concerned(self, secret: Secret) -> list[ObjectRef]:
        name, namespace = secret.metadata.name, secret.metadata.namespace
        return [
            ObjectRef.of(one)
            for one in self._ingresses
            if one.metadata.namespace == namespace
            and any(entry.secret_name == name for entry in one.spec.tls)
        ]


async def _peek(connection: socket.socket) -> bytes:
    """Return the first byte without taking it; nothing if the connection ended before."""
    while True:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            await _readable(connection)


async def _readable(connection: socket.socket) -> None:
    """Wait until there is something to read, or the end."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
