"""TLS and credentials against a real TLS server on loopback."""

import asyncio
import datetime
import ipaddress
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from proa.kube import Client, Config, ConfigError, ConnectError, TlsError, encode
from proa.kube._tls import ssl_context
from proa.kube.identity import ExecPlugin

PRIVATE = ec.EllipticCurvePrivateKey


@dataclass(frozen=True)
class Identity:
    certificate: bytes
    key: bytes


def signed(
    name: str, key: PRIVATE, issuer: str, issuer_key: PRIVATE, *, authority: bool = False, hours: float = 1
) -> bytes:
    moment = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(moment - datetime.timedelta(hours=9))
        .not_valid_after(moment + datetime.timedelta(hours=hours))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        names = [x509.DNSName("kubernetes"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        names = names[: 1 if name == "elsewhere" else 2]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(issuer_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(key: PRIVATE, password: bytes | None = None) -> bytes:
    encryption = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


CA_KEY, SERVER_KEY, CLIENT_KEY = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
CA = signed("ca", CA_KEY, "ca", CA_KEY, authority=True)
CLIENT = Identity(signed("me", CLIENT_KEY, "ca", CA_KEY), pem(CLIENT_KEY))


async def serve(directory: Path, name: str) -> AsyncIterator[str]:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport
        peer = request.transport.get_extra_info("peercert") or {}
        subject = dict(pair for part in peer.get("subject", ()) for pair in part)
        text = f"{subject.get('commonName')} {request.headers.get('Authorization')}"
        return web.Response(text=text)

    chain = directory / "server.pem"
    chain.write_bytes(signed(name, SERVER_KEY, "ca", CA_KEY) + pem(SERVER_KEY))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cadata=CA.decode())
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(chain)
    application = web.Application()
    application.router.add_get("/whoami", handler)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[str]:
    async for url in serve(tmp_path, "server"):
        yield url


@pytest.fixture
async def elsewhere(tmp_path: Path) -> AsyncIterator[str]:
    """A server whose certificate is for the name `kubernetes` only."""
    async for url in serve(tmp_path, "elsewhere"):
        yield url


async def whoami(config: Config) -> str:
    async with Client(config) as client:
        return (await client.request_raw("GET", "/whoami")).body.decode()


async def test_a_client_certificate_is_presented_and_its_key_is_nowhere_on_disk(server: str) -> None:
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    config = Config(
        server=server, ca_data=CA, client_certificate_data=CLIENT.certificate, client_key_data=CLIENT.key
    )
    await asyncio.to_thread(ssl_context, config)
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
    assert await whoami(config) == "me None"


async def test_a_server_of_an_unknown_authority_is_refused(server: str) -> None:
    with pytest.raises(ConnectError, match=r"cannot connect to https://.*: .*(unable to get|self.signed)"):
        await whoami(Config(server=server))
    assert await whoami(Config(server=server, insecure_skip_tls_verify=True)) == "None None"


async def test_the_name_to_expect_can_be_given(elsewhere: str) -> None:
    config = Config(server=elsewhere, ca_data=CA)
    with pytest.raises(ConnectError, match="mismatch"):
        await whoami(config)
    assert await whoami(replace(config, tls_server_name="kubernetes")) == "None None"
    with pytest.raises(ConnectError, match="mismatch"):
        await whoami(replace(config, tls_server_name="other"))


async def test_a_token_file_is_read_again_and_kept_while_it_cannot_be(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proa.kube._credentials.TOKEN_FILE_LIFETIME", 0.0)
    path = tmp_path / "token"
    path.write_text("one\n")
    async with Client(Config(server=server, ca_data=CA, token="zero", token_file=path)) as client:
        seen = []
        for change in (None, "two", "", None):
            if change == "":
                path.unlink()
            elif change:
                path.write_text(change)
            seen.append((await client.request_raw("GET", "/whoami")).body.decode())
    assert seen == ["None Bearer one", "None Bearer two", "None Bearer two", "None Bearer two"]


async def test_the_file_of_authorities_is_read_again_and_kept_while_it_cannot_be(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proa.kube._aiohttp.AUTHORITY_LIFETIME", 0.0)
    path = tmp_path / "ca.crt"
    other = signed("other", SERVER_KEY, "other", SERVER_KEY, authority=True)
    path.write_bytes(other)
    async with Client(Config(server=server, ca_file=path), retry=None) as client:
        with pytest.raises(ConnectError, match="cannot connect"):
            await client.request_raw("GET", "/whoami")
        path.write_bytes(CA)
        assert (await client.request_raw("GET", "/whoami")).body == b"None None"
        path.unlink()
        assert (await client.request_raw("GET", "/whoami")).body == b"None None"


def test_unusable_certificates_are_errors_that_say_which() -> None:
    config = Config(
        server="https://a", client_certificate_data=CLIENT.certificate, client_key_data=CLIENT.key, ca_data=CA
    )
    with pytest.raises(ConfigError, match="certificate authority of https://a is no PEM"):
        ssl_context(replace(config, ca_data=b"nonsense"))
    with pytest.raises(ConfigError, match=r"client certificate and key cannot be used: .*MISMATCH"):
        ssl_context(replace(config, client_key_data=pem(SERVER_KEY)))
    with pytest.raises(ConfigError, match="client certificate and key cannot be used"):
        ssl_context(replace(config, client_certificate_data=b"nonsense"))
    with pytest.raises(ConfigError, match="encrypted with a password"):
        ssl_context(replace(config, client_key_data=pem(CLIENT_KEY, b"secret")))


async def test_plain_http_spoken_to_a_tls_port_and_the_reverse(server: str) -> None:
    with pytest.raises(Exception, match=r"400|connection broke|cannot connect"):
        await whoami(Config(server=server.replace("https:", "http:")))


async def test_an_expired_client_certificate_is_named_as_the_reason(server: str) -> None:
    expired = signed("me", CLIENT_KEY, "ca", CA_KEY, hours=-2)
    config = Config(
        server=server, ca_data=CA, client_certificate_data=expired, client_key_data=pem(CLIENT_KEY)
    )
    with pytest.raises(TlsError, match=r"the client certificate expired on \d{4}-.* UTC: renew it"):
        await whoami(config)


async def test_client_certificates_of_a_program_are_presented_and_renewed(
    server: str, tmp_path: Path
) -> None:
    def issue(name: str, seconds: float) -> None:
        until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
        status = {
            "clientCertificateData": signed(name, CLIENT_KEY, "ca", CA_KEY).decode(),
            "clientKeyData": pem(CLIENT_KEY).decode(),
            "expirationTimestamp": until.isoformat(),
        }
        credential = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "status": status}
        (tmp_path / "credential").write_bytes(encode(credential))

    plugin = ExecPlugin(command="cat", args=(str(tmp_path / "credential"),))
    config = Config(server=server, ca_data=CA, exec=plugin)
    issue("first", 0)
    async with Client(config) as client:
        first = (await client.request_raw("GET", "/whoami")).body
        issue("second", 3600)
        second = (await client.request_raw("GET", "/whoami")).body
        issue("third", 3600)
        third = (await client.request_raw("GET", "/whoami")).body
    assert (first, second, third) == (b"first None", b"second None", b"second None")
