"""Every test here runs with a guard against blocking the event loop; servers come with either storage."""

import datetime
import ipaddress
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import settings

from proa.app import testing
from proa.bindle.client import BindleClient
from proa.bindle.testing import RunningServer, running_server

settings.register_profile("bindle", deadline=None)  # the machine may be busy
settings.load_profile("bindle")


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    with testing.no_blocking("proa.bindle"):
        yield


@pytest.fixture(params=["files", "sqlite"])
async def server(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RunningServer]:
    async with running_server(tmp_path / "server", kind=request.param) as running:
        yield running


@pytest.fixture
async def client(server: RunningServer) -> AsyncIterator[BindleClient]:
    async with BindleClient(server.url) as connected:
        yield connected


@pytest.fixture
async def http(server: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    """Speaks the bare protocol: paths are relative to the base, as `_i/NAME/VERSION`."""
    async with aiohttp.ClientSession(server.url) as session:
        yield session


@pytest.fixture
def certificate() -> Callable[[Path], tuple[Path, Path]]:
    """Makes a certificate for 127.0.0.1 in a directory; returns its path and its key's."""

    def make(directory: Path) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
        now = datetime.datetime.now(datetime.UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        chain, secret = directory / "tls.crt", directory / "tls.key"
        chain.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return chain, secret

    return make
