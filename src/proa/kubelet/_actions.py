"""What probes and hooks do: ask over HTTP, connect over TCP, sleep.

Each function returns when the action has succeeded and raises `ActionError` with a line that says why it
has not. All end within the time that the caller allows (`asyncio.timeout`).
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp
from yarl import URL

from proa.kube.models import IntOrString
from proa.kube.models.core_v1 import Container, HTTPGetAction, TCPSocketAction
from proa.kubelet.errors import ActionError

_AGENT: Final = "kube-probe/1.36"
_MOST_OF_A_BODY: Final = 256
"""What an Event shows of an answer, in bytes; the rest is never read."""


@dataclass(frozen=True)
class Target:
    """Whom an action addresses: a container at its pod's address."""

    container: Container
    pod_ip: str

    def port(self, port: IntOrString) -> int:
        """The number of a port given by number or by name.

        Raises:
            ActionError: The container has no port of that name.
        """
        if isinstance(port, int):
            return port
        if port.isdecimal():
            return int(port)
        for declared in self.container.ports:
            if declared.name == port:
                return declared.container_port
        raise ActionError(f"container {self.container.name} has no port named {port!r}")


async def http_get(action: HTTPGetAction, target: Target) -> None:
    """Ask for a page; an answer from 200 to 399 is a success. Certificates are not checked."""
    scheme = (action.scheme or "HTTP").lower()
    address = URL.build(scheme=scheme, host=action.host or target.pod_ip, port=target.port(action.port))
    address = address.join(URL(action.path or "/"))
    connector = aiohttp.TCPConnector(force_close=True, ssl=_unverified() if scheme == "https" else False)
    try:
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(address, headers=_headers(action), allow_redirects=False) as answer,
        ):
            body = await answer.content.read(_MOST_OF_A_BODY)
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ActionError(f'Get "{address}": {str(error) or type(error).__name__}') from error
    if not 200 <= answer.status < 400:
        said = body.decode("utf-8", "replace").strip()
        raise ActionError(f"HTTP probe failed with statuscode: {answer.status}{said and f': {said}'}")


async def tcp_connect(action: TCPSocketAction, target: Target) -> None:
    """Open a connection and close it again."""
    host, port = action.host or target.pod_ip, target.port(action.port)
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError as error:
        raise ActionError(f"dial tcp {host}:{port}: {error.strerror or error}") from error
    writer.transport.abort()


def _headers(action: HTTPGetAction) -> Mapping[str, str]:
    return {"User-Agent": _AGENT, "Accept": "*/*"} | {one.name: one.value for one in action.http_headers}


def _unverified() -> ssl.SSLContext:
    # Kubernetes' rule: a probe asks whether somebody answers, not who.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
