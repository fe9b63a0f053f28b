"""Who may write: htpasswd files, identity providers, and nobody in particular."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import bcrypt
import pytest

from proa.app import Secret
from proa.bindle.auth import Htpasswd, OpenIdConnect, parse_htpasswd
from proa.bindle.client import Basic, BindleClient
from proa.bindle.errors import (
    AccessDeniedError,
    BindleError,
    KeyFileError,
    ServerUnavailableError,
    UnauthorizedError,
)
from proa.bindle.login import Token, TokenFile, login
from proa.bindle.testing import IdentityProvider, running_provider, running_server
from proa.bindle.wire import DeviceAuthorization

HASH = bcrypt.hashpw(b"sw0rdf1sh", bcrypt.gensalt(4)).replace(b"$2b$", b"$2y$")
USERS = f"# users\nadmin:{HASH.decode()}\n\n"


async def test_without_credentials_one_may_read_and_not_write(tmp_path: Path) -> None:
    async with (
        running_server(tmp_path, authenticator=Htpasswd(parse_htpasswd(USERS))) as server,
        BindleClient(server.url) as anonymous,
        BindleClient(server.url, credentials=Basic("admin", Secret("sw0rdf1sh"))) as admin,
        BindleClient(server.url, credentials=Basic("admin", Secret("swordfish"))) as wrong,
        BindleClient(server.url, credentials=Basic("nobody", Secret("sw0rdf1sh"))) as nobody,
    ):
        invoice = server.signed("a/1.0.0", {"a": b"a"})
        with pytest.raises(AccessDeniedError, match="needs credentials"):
            await anonymous.create_invoice(invoice)
        for client in (wrong, nobody):
            with pytest.raises(UnauthorizedError):
                await client.create_invoice(invoice)
            with pytest.raises(UnauthorizedError):
                await client.get_invoice(invoice.id)
        assert len((await admin.create_invoice(invoice)).missing or []) == 1
        assert (await anonymous.get_invoice(invoice.id)).id == invoice.id
        with pytest.raises(AccessDeniedError):
            await anonymous.yank(invoice.id)
        async with aiohttp.ClientSession(server.url) as http, http.head("_i/a/1.0.0") as response:
            assert response.status == 200


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !", "Basic YWRtaW4=", "Bearer x", "Basic YTox\x00", "é"]
)
async def test_credentials_that_make_no_sense_are_wrong(header: str) -> None:
    with pytest.raises(UnauthorizedError):
        await Htpasswd(parse_htpasswd(USERS)).principal(header)


async def test_a_password_is_checked_again_after_a_while() -> None:
    now = 0.0
    users = parse_htpasswd(USERS)
    htpasswd = Htpasswd(users, clock=lambda: now)
    header = await Basic("admin", Secret("sw0rdf1sh")).header()
    assert await htpasswd.principal(header) == "admin"
    users.clear()
    assert await htpasswd.principal(header) == "admin"
    now = 301.0
    with pytest.raises(UnauthorizedError):
        await htpasswd.principal(header)


@pytest.mark.parametrize("line", ["admin", "admin:secret", "admin:{SHA}x", ":$2y$x", "admin:$apr1$x"])
def test_an_htpasswd_line_by_another_hash_is_refused_and_not_shown(line: str) -> None:
    with pytest.raises(BindleError, match="line 2") as caught:
        parse_htpasswd(f"# one\n{line}\n")
    assert "secret" not in str(caught.value)


@pytest.fixture
async def provider() -> AsyncIterator[IdentityProvider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


async def test_a_login_lets_one_write(
    provider: IdentityProvider, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    oidc = OpenIdConnect(session, issuer=provider.url, client_id=provider.client_id)
    path = tmp_path / "token.toml"

    def confirm(shown: DeviceAuthorization) -> None:
        assert shown.verification_uri == f"{provider.url}/activate"
        asyncio.get_running_loop().call_later(0.5, provider.approve, shown.user_code, "ada")

    async with running_server(tmp_path / "server", authenticator=oidc) as server:
        invoice = server.signed("a/1.0.0", {})
        async with BindleClient(server.url) as anonymous:
            await TokenFile(path, session).save(await login(anonymous, confirm, session))
        assert path.stat().st_mode & 0o777 == 0o600
        async with BindleClient(server.url, credentials=TokenFile(path, session)) as client:
            await client.create_invoice(invoice)
    assert provider.requests.count("/keys") == 1


async def test_a_token_about_to_expire_is_exchanged_before_it_does(
    provider: IdentityProvider, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    provider.approve("code", "ada")
    async with session.post(f"{provider.url}/token", data={"device_code": "code"}) as response:
        given = await response.json()
    path = tmp_path / "token.toml"
    token = Token(
        id_token="old",
        refresh_token=given["refresh_token"],
        expires_at=int(time.time()) + 30,
        token_url=f"{provider.url}/token",
        client_id="bindle",
    )
    await TokenFile(path, session).save(token)
    header = await TokenFile(path, session).header()
    assert header is not None
    assert header != "Bearer old"
    assert await TokenFile(path, session).header() == header  # kept in the file
    assert "old" not in repr(token)


async def test_an_expired_login_asks_for_another(
    provider: IdentityProvider, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "token.toml"
    for refresh_token in (None, "unknown"):
        token = Token(
            id_token="old",
            refresh_token=refresh_token,
            expires_at=0,
            token_url=f"{provider.url}/token",
            client_id="bindle",
        )
        await TokenFile(path, session).save(token)
        with pytest.raises(AccessDeniedError, match="log in again"):
            await TokenFile(path, session).header()
    path.write_text("nonsense")
    with pytest.raises(KeyFileError, match="log in again"):
        await TokenFile(path, session).header()
    path.unlink()
    assert await TokenFile(path, session).header() is None


async def test_a_principal_is_named_by_user_name_verified_mail_or_subject(
    provider: IdentityProvider, session: aiohttp.ClientSession
) -> None:
    oidc = OpenIdConnect(session, issuer=provider.url, client_id=provider.client_id)
    for claims, name in (
        ({"preferred_username": "ada", "email": "a@b", "email_verified": True}, "ada"),
        ({"email": "a@b", "email_verified": True}, "a@b"),
        ({"email": "a@b", "email_verified": False}, "1815"),
    ):
        token = provider.token("1815", **claims)
        assert await oidc.principal(f"Bearer {token}") == f"{name}@{provider.url}"


async def test_tokens_that_are_not_for_us_are_refused(
    provider: IdentityProvider, session: aiohttp.ClientSession
) -> None:
    import jwt

    oidc = OpenIdConnect(session, issuer=provider.url, client_id=provider.client_id)
    now = int(time.time())
    good = provider.token("ada")
    body = {"iss": provider.url, "aud": "bindle", "sub": "ada", "exp": now + 300}
    none = jwt.encode(body, "", algorithm="none", headers={"kid": provider.key_id})
    symmetric = jwt.encode(body, "x" * 32, algorithm="HS256", headers={"kid": provider.key_id})
    bad = [
        provider.token("ada", aud="others"),
        provider.token("ada", iss="https://evil.example"),
        provider.token("ada", exp=now - 60),
        provider.token("ada", nbf=now + 3600),
        good[:-3] + "AAA",
        none,
        symmetric,
        "",
        "a.b.c",
    ]
    for token in bad:
        with pytest.raises(UnauthorizedError):
            await oidc.principal(f"Bearer {token}")
    with pytest.raises(UnauthorizedError):
        await oidc.principal("Basic YWRtaW46YWRtaW4=")
    assert await oidc.principal(None) is None
    assert await oidc.principal(f"Bearer {good}")


async def test_a_providers_new_key_is_fetched_and_not_more_than_once_a_minute(
    provider: IdentityProvider, session: aiohttp.ClientSession
) -> None:
    now = 0.0
    oidc = OpenIdConnect(session, issuer=provider.url, client_id=provider.client_id, clock=lambda: now)
    await oidc.principal(f"Bearer {provider.token('ada')}")
    await asyncio.to_thread(provider.rotate)
    token = provider.token("ada")
    for _ in range(3):
        with pytest.raises(UnauthorizedError):
            await oidc.principal(f"Bearer {token}")
    assert provider.requests.count("/keys") == 1
    now = 61.0
    assert await oidc.principal(f"Bearer {token}")
    assert provider.requests.count("/keys") == 2


async def test_a_provider_that_is_gone_is_not_the_clients_fault(session: aiohttp.ClientSession) -> None:
    oidc = OpenIdConnect(session, issuer="http://127.0.0.1:9", client_id="bindle")
    import jwt

    token = jwt.encode({"sub": "x"}, os.urandom(32), algorithm="HS256", headers={"kid": "k"})
    with pytest.raises(ServerUnavailableError, match="can't be reached"):
        await oidc.principal(f"Bearer {token}")
    with pytest.raises(ServerUnavailableError):
        await oidc.device_authorization()
