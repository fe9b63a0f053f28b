"""The TLS context of a configuration."""

from __future__ import annotations

import os
import ssl

from proa.kube.config import Config
from proa.kube.errors import ConfigError


def ssl_context(config: Config) -> ssl.SSLContext:
    """Return a context that trusts and presents what the configuration says.

    Raises:
        ConfigError: a certificate or key is not usable PEM, or the two do not belong together.
    """
    context = _trusting(config)
    # OpenSSL's strict mode, on by default since Python 3.13, refuses the authorities that many clusters have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if config.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if config.client_certificate_data and config.client_key_data:
        _present(context, config.client_certificate_data, config.client_key_data)
    return context


def _trusting(config: Config) -> ssl.SSLContext:
    if config.ca_data is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=config.ca_data.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the certificate authority of {config.server} is no PEM certificate") from error


def _present(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Load the client certificate. OpenSSL reads files only; this one is memory: the key gets to no disk."""
    descriptor = os.memfd_create("client-certificate", os.MFD_CLOEXEC)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            file.write(certificate + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_refuse_password)
    except ssl.SSLError as error:
        raise ConfigError(
            f"the client certificate and key cannot be used: {error.reason or 'no PEM'}"
        ) from error
    finally:
        os.close(descriptor)


def _refuse_password() -> str:
    """Answer for the terminal, where OpenSSL would else ask for the password of an encrypted key."""
    raise ConfigError("the client key is encrypted with a password: decrypt it first")


def expired(certificate: bytes | None) -> str | None:
    """Return a sentence for the user if a client certificate is past its time; None if it is not."""
    if certificate is None:
        return None
    from datetime import UTC, datetime

    from cryptography import x509

    try:
        end = x509.load_pem_x509_certificate(certificate).not_valid_after_utc
    except ValueError:
        return None
    if end > datetime.now(UTC):
        return None
    return f"the client certificate expired on {end:%Y-%m-%d %H:%M} UTC: renew it"
