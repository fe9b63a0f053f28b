"""The settings of `proa wagi`; WAGI 0.8's flags keep their names."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from proa.app import Secret, logs
from proa.app.settings import setting
from proa.bindle import BindleError, Strategy
from proa.wagi.config import parse_size
from proa.wagi.handlers import Limits
from proa.wagi.sources import PullPolicy

__all__ = ["WagiSettings"]


@dataclass(frozen=True, kw_only=True)
class WagiSettings:
    """Serve WebAssembly modules over HTTP, an instance a request."""

    config: Path = setting(Path("modules.toml"), help="the routes: WAGI's modules.toml")
    bindle: str | None = setting(
        None, help="instead of a configuration: a bindle, NAME/VERSION, whose modules say their routes"
    )
    bindle_url: str | None = setting(
        None, help="server that bindles come from, where modules name none", env="BINDLE_URL"
    )
    bindle_path: Path | None = setting(
        None, help="the same from a directory: a server's own, or one with standalone bindles"
    )
    bindle_http_user: str | None = setting(None, help="user for that server", env="BINDLE_HTTP_USER")
    bindle_http_password: Secret | None = setting(
        None, help="the user's password", env="BINDLE_HTTP_PASSWORD"
    )
    listen: str = setting("127.0.0.1:3000", help="address and port to listen on; port 0 picks a free one")
    hostname: str | None = setting(
        None, help="host or host:port for clients that send no Host header (default: where it listens)"
    )
    workers: int = setting(0, help="processes that serve; 0 is one for each processor")
    executors: int = setting(64, help="the most requests that each worker runs at once")
    tls_cert: Path | None = setting(
        None, help="PEM certificate chain; with --tls-key serves HTTPS", env="WAGI_TLS_CERT"
    )
    tls_key: Path | None = setting(None, help="PEM private key of the certificate", env="WAGI_TLS_KEY")
    env: dict[str, str] = setting({}, help="variable for every handler; can be given many times")
    env_file: Path | None = setting(None, help="file of such variables, a NAME=VALUE a line")
    timeout: timedelta = setting(timedelta(seconds=60), help="time for a request, unless its route says else")
    memory: str = setting("512MiB", help="memory for a request, unless its route says else")
    max_body: str = setting("64MiB", help="length of a request's body, unless its route says else")
    concurrency: int = setting(32, help="requests of a route at once in a worker, unless it says else")
    pull: PullPolicy = setting("always", help="when images that are here already are asked for again")
    bindle_keyring: Path | None = setting(
        None, help="keys that may vouch for modules from bindles; by default none may", env="BINDLE_KEYRING"
    )
    bindle_strategy: str = setting(
        "MultipleAttestationGreedy[Host]",
        help="what their signatures must amount to; none asks for no signatures",
        env="BINDLE_STRATEGY",
    )
    module_cache: Path = setting(Path(".proa/wagi"), help="where images and compiled modules are kept")
    log_dir: Path | None = setting(
        None,
        help="where each route's standard error is kept, as <sha256 of the route>/module.stderr",
        env="WAGI_LOG_DIR",
    )
    access_log: Path | None = setting(None, help="file that a line for each request is appended to")
    status: str | None = setting(None, help="address and port of the status page, /metrics and /readyz")
    watch: bool = setting(True, help="load the configuration again when it or a module changes")
    log_level: logs.Level = setting("info", help="the least level that is logged")
    log_format: logs.Format = setting(
        "auto", help="how logs look; auto: console on a terminal, json otherwise"
    )

    def validate(self) -> Iterator[str]:
        """Say what is wrong."""
        for name, address in (("--listen", self.listen), ("--status", self.status)):
            if address is not None:
                try:
                    split_address(address)
                except ValueError:
                    yield f"{name}: {address!r} is wrong: expected an address and a port, as 127.0.0.1:3000"
        if (self.tls_cert is None) != (self.tls_key is None):
            yield "--tls-cert and --tls-key: give both or none"
        for name, count in (("--executors", self.executors), ("--concurrency", self.concurrency)):
            if count < 1:
                yield f"{name}: {count} is wrong: expected at least 1"
        if self.bindle_url and self.bindle_path:
            yield "--bindle-url and --bindle-path: give one of them"
        try:
            parse_strategy(self.bindle_strategy)
        except BindleError as error:
            yield f"--bindle-strategy: {error}"
        if not 0 <= self.workers <= 256:
            yield f"--workers: {self.workers} is wrong: expected 0 to 256"
        for name, size in (("--memory", self.memory), ("--max-body", self.max_body)):
            try:
                parse_size(size)
            except ValueError as error:
                yield f"{name}: {size!r} is wrong: expected {error}"

    @property
    def limits(self) -> Limits:
        """What holds for routes that say nothing else."""
        return Limits(
            seconds=self.timeout.total_seconds() or None,
            memory=parse_size(self.memory) or None,
            concurrency=self.concurrency,
            body=parse_size(self.max_body),
        )


def parse_strategy(text: str) -> Strategy | None:
    """Read what signatures must amount to, None being nothing at all; raises BindleError."""
    return None if text == "none" else Strategy.parse(text)


def split_address(text: str) -> tuple[str, int]:
    """Split `host:port`, where an IPv6 host stands in brackets; raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(text)
    return host.removeprefix("[").removesuffix("]"), int(port)
