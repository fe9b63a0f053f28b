"""TLS for the gateway: 1.2 or newer, HTTP/1.1 only."""

import ssl
from pathlib import Path

from proa.wagi.errors import WagiError

__all__ = ["TlsError", "server_context"]


class TlsError(WagiError):
    """The certificate or its key cannot be used."""

    exit_code = 2


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Make a context for a server. It reads files: call it in a thread.

    Args:
        certificate: PEM, the server's own first, then those that lead to a known authority.
        key: PEM, PKCS#8 or another form that OpenSSL knows, not encrypted.

    Raises:
        TlsError: A file cannot be read, is no PEM, or the two do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise TlsError(f"cannot serve HTTPS with {certificate} and {key}: {reason}") from None
    return context


def _no_password() -> str:
    raise ValueError("the key is encrypted")
