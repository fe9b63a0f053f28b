"""How the page is served."""

import ipaddress
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from proa.app import ProaError
from proa.app.settings import setting

__all__ = ("DashboardError", "DashboardSettings")


class DashboardError(ProaError):
    """The page cannot be served."""


@dataclass(frozen=True, kw_only=True)
class DashboardSettings:
    """Settings of the page of a cluster."""

    bind: str = setting("127.0.0.1", help="address to serve the page on")
    port: int = setting(8092, help="port of the page; 0 picks a free one")
    tls_cert_file: Path | None = setting(None, help="serving certificate (PEM); needed beyond loopback")
    tls_private_key_file: Path | None = setting(None, help="its private key (PEM)")

    def validate(self) -> Iterator[str]:
        """Say what is wrong, a line for each problem."""
        if not 0 <= self.port <= 65535:
            yield f"port: {self.port} is no port"
        if (self.tls_cert_file is None) != (self.tls_private_key_file is None):
            yield "tls_cert_file and tls_private_key_file: give both or neither"
        if self.tls_cert_file is None and not _is_loopback(self.bind):
            yield f"tls_cert_file: without it the page is served on loopback only, not on {self.bind}"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The certificate as TLS; None where there is none. Blocks.

        Raises:
            DashboardError: the files cannot be used.
        """
        if self.tls_cert_file is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.tls_cert_file, self.tls_private_key_file)
        except (OSError, ssl.SSLError) as error:
            raise DashboardError(f"cannot use the certificate {self.tls_cert_file}: {error}") from error
        return context


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
