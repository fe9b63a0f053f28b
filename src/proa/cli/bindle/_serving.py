"""`proa bindle serve`: the server."""

import asyncio
import contextlib
import ssl
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from proa.app import App, logs
from proa.app.files import StorageError
from proa.app.settings import setting
from proa.bindle.auth import Authenticator, Everyone, Htpasswd, OpenIdConnect
from proa.bindle.cache import Cache
from proa.bindle.client import BindleClient
from proa.bindle.errors import BindleError
from proa.bindle.keys import Keyring, SecretKey, SecretKeys
from proa.bindle.proxy import Proxy
from proa.bindle.server import BindleServer, Trust
from proa.bindle.signing import Strategy
from proa.bindle.storage import Quota, Storage
from proa.cli._process import serve
from proa.cli.bindle._options import default_config

_SHORT: Final = {
    "-i": "--address",
    "-d": "--directory",
    "-c": "--tls-cert",
    "-k": "--tls-key",
    "-r": "--keyring",
    "-e": "--use-embedded-db",
    "--config-path": "--config",
}

log = logs.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class BindleSettings:
    """Settings of `proa bindle serve`; variables and short flags are those of the reference's server."""

    address: str = setting("127.0.0.1:8080", help="address and port (-i)", env="BINDLE_IP_ADDRESS_PORT")
    directory: Path = setting(Path("data/bindle"), help="where bindles are kept (-d)", env="BINDLE_DIRECTORY")
    use_embedded_db: bool = setting(
        False, help="keep invoices in SQLite instead of files (-e)", env="BINDLE_USE_EMBEDDED_DB"
    )
    tls_cert: Path | None = setting(None, help="certificate chain, PEM (-c)", env="BINDLE_TLS_CERT")
    tls_key: Path | None = setting(None, help="the certificate's key, PEM (-k)", env="BINDLE_TLS_KEY")
    keyring: Path = setting(
        default_config() / "keyring.toml", help="whom to trust (-r)", env="BINDLE_KEYRING"
    )
    signing_keys: Path = setting(
        default_config() / "signing-keys.toml", help="own keys; made if need be", env="BINDLE_SIGNING_KEYS"
    )
    strategy: str = setting(
        "GreedyVerification",
        help="what an invoice's signatures must amount to",
        env="BINDLE_VERIFICATION_STRATEGY",
    )
    htpasswd_file: Path | None = setting(None, help="users, hashed by bcrypt", env="BINDLE_HTPASSWD_FILE")
    oidc_issuer_url: str | None = setting(None, help="identity provider", env="BINDLE_OIDC_ISSUER_URL")
    oidc_client_id: str | None = setting(None, help="whom tokens are for", env="BINDLE_OIDC_CLIENT_ID")
    oidc_device_url: str | None = setting(
        None, help="where logins begin (default: what the provider says)", env="BINDLE_OIDC_DEVICE_URL"
    )
    unauthenticated: bool = setting(False, help="let everybody write", env="BINDLE_UNAUTHENTICATED")
    upstream: str | None = setting(
        None, help="be a caching, read-only proxy of this server", env="BINDLE_UPSTREAM"
    )
    cache_size: int = setting(100_000, help="a proxy's bound, in MB", env="BINDLE_CACHE_SIZE")
    cache_age: float = setting(10.0, help="seconds until a proxy asks again", env="BINDLE_CACHE_AGE")
    max_parcel_size: int | None = setting(None, help="in MB", env="BINDLE_MAX_PARCEL_SIZE")
    max_total_size: int | None = setting(None, help="of all parcels, in MB", env="BINDLE_MAX_TOTAL_SIZE")
    gc_interval: float = setting(
        3600.0,
        help="seconds between deletions of unnamed parcels; 0: never",
        env="BINDLE_GC_INTERVAL",
    )

    def validate(self) -> Iterator[str]:
        """Yield what does not go together."""
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            yield f"--address: {self.address!r} is not ADDRESS:PORT"
        if (self.tls_cert is None) is not (self.tls_key is None):
            yield "--tls-cert and --tls-key are needed together"
        if (self.oidc_issuer_url is None) is not (self.oidc_client_id is None):
            yield "--oidc-issuer-url and --oidc-client-id are needed together"
        if not (self.oidc_issuer_url or self.htpasswd_file or self.unauthenticated or self.upstream):
            yield "say who may write: --htpasswd-file, --oidc-issuer-url or --unauthenticated"


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    words = [_SHORT.get(word, word) for word in arguments]
    return serve("proa bindle serve", BindleSettings, words, _serve)


async def _serve(app: App, chosen: BindleSettings) -> None:
    """Serve bindles until SIGTERM or Ctrl-C."""
    trust = await asyncio.to_thread(_trust, chosen)
    session = await app.start("HTTP client", aiohttp.ClientSession())
    authenticator = await asyncio.to_thread(_authenticator, chosen, session)
    backend: Storage | Proxy
    if chosen.upstream is not None:
        client = await app.start("upstream", BindleClient(chosen.upstream))
        room = chosen.cache_size * 1_000_000
        cache = await app.start("cache", Cache(chosen.directory, max_bytes=room, max_age=chosen.cache_age))
        backend = Proxy(client, cache, trust.secret_keys.find("proxy"))
    else:
        backend = await app.start("storage", _storage(chosen))
        if chosen.gc_interval:
            await app.start("garbage collection", _collecting(backend, chosen.gc_interval))
    host, _, port = chosen.address.rpartition(":")
    server = BindleServer(
        backend,
        trust=trust,
        authenticator=authenticator,
        host=host.strip("[]"),
        port=int(port),
        ssl_context=await asyncio.to_thread(_tls, chosen),
        health=app.health,
        metrics=app.metrics,
    )
    await app.start("server", server)
    sys.stdout.write(f"The bindle server listens on {server.url}\n")
    sys.stdout.flush()
    await app.run_until_stopped()


def _storage(chosen: BindleSettings) -> Storage:
    def in_bytes(megabytes: int | None) -> int | None:
        return None if megabytes is None else megabytes * 1_000_000

    return Storage(
        chosen.directory,
        kind="sqlite" if chosen.use_embedded_db else "files",
        quota=Quota(parcel=in_bytes(chosen.max_parcel_size), total=in_bytes(chosen.max_total_size)),
    )


@contextlib.asynccontextmanager
async def _collecting(storage: Storage, interval: float) -> AsyncIterator[None]:
    async def forever() -> None:
        while True:
            await asyncio.sleep(interval)
            try:
                garbage = await storage.collect_garbage()
            except StorageError as error:
                log.warning("garbage was not collected", error=str(error))
            else:
                log.info("garbage collected", parcels=len(garbage.parcels), bytes=garbage.size)

    task = asyncio.create_task(forever())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


def _trust(chosen: BindleSettings) -> Trust:
    keys = SecretKeys.load(chosen.signing_keys, missing_ok=True)
    made = [
        SecretKey.generate(f"Default {role} key", [role])
        for role in (("proxy",) if chosen.upstream else ("host",))
        if not any(role in key.roles for key in keys.key)
    ]
    for key in made:
        keys = keys.adding(key)
        log.info("made a key", label=key.label, path=str(chosen.signing_keys))
    if made:
        keys.save(chosen.signing_keys)
    keyring = Keyring.load(chosen.keyring, missing_ok=True)
    own = (key.public() for key in keys.key)
    return Trust(keyring=keyring.adding(own), strategy=Strategy.parse(chosen.strategy), secret_keys=keys)


def _authenticator(chosen: BindleSettings, session: aiohttp.ClientSession) -> Authenticator:
    if chosen.oidc_issuer_url and chosen.oidc_client_id:
        return OpenIdConnect(
            session,
            issuer=chosen.oidc_issuer_url,
            client_id=chosen.oidc_client_id,
            device_url=chosen.oidc_device_url,
        )
    return Htpasswd.load(chosen.htpasswd_file) if chosen.htpasswd_file else Everyone()


def _tls(chosen: BindleSettings) -> ssl.SSLContext | None:
    if chosen.tls_cert is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(chosen.tls_cert, chosen.tls_key)
    except (OSError, ssl.SSLError) as error:
        told = error.strerror or error
        raise BindleError(f"can't use the certificate {chosen.tls_cert} with its key: {told}") from None
    return context
