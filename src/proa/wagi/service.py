"""`proa wagi`: worker processes on one port, kept running and kept up to date.

This process reads the configuration, fetches and compiles modules, and supervises; the workers serve. Each
worker listens on a socket of its own on the same port (`SO_REUSEPORT`), bound here and never closed, so that
no connection is lost while a worker is replaced. A new configuration is loaded here, and handed to the
workers only when it is right as a whole.
"""

import asyncio
import contextlib
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final, Self

from proa.app import Backoff, ProaError, logs
from proa.bindle import Basic, Keyring
from proa.oci import RegistryClient
from proa.wagi._control import Start, Tell, Use
from proa.wagi._listening import bind_all
from proa.wagi._supervision import SHUTDOWN_SECONDS, WorkerPlace
from proa.wagi.bindles import BindlePolicy, Bindles
from proa.wagi.config import Config, load_config
from proa.wagi.errors import ConfigError
from proa.wagi.handlers import Handler
from proa.wagi.loading import Loader
from proa.wagi.settings import WagiSettings, parse_strategy, split_address
from proa.wagi.sources import Sources
from proa.wagi.statistics import Statistics, merge
from proa.wagi.tls import server_context
from proa.wasm import Sandboxes

__all__ = ["Service"]

log = logs.get_logger(__name__)

_WATCH_SECONDS: Final = 0.5
_BACKOFF: Final = Backoff(initial=0.1, maximum=10.0)


class Service:
    """A gateway of several processes. Use `open`.

    Attributes:
        url: Where it is reached.
        handlers: What is served now.
    """

    def __init__(
        self, settings: WagiSettings, loader: Loader, bindles: Bindles, listeners: Sequence[socket.socket]
    ) -> None:
        host, port = listeners[0].getsockname()[:2]
        scheme = "https" if settings.tls_cert else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        self.handlers: list[Handler] = []
        self._settings = settings
        self._loader = loader
        self._bindles = bindles
        self._workers = [WorkerPlace(number, listener) for number, listener in enumerate(listeners)]
        self._files: dict[Path, tuple[int, int, int]] = {}
        self._loading = asyncio.Lock()
        self._wanted = asyncio.Event()

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: WagiSettings) -> AsyncIterator[Self]:
        """Serve while the context is open; it is entered once every worker serves.

        Raises:
            ConfigError: The configuration is wrong; every problem is told.
            AddressError: The address cannot be listened on.
            TlsError: The certificate cannot be used.
        """
        if settings.bindle is None:  # Before anything else: it is the likeliest mistake.
            await asyncio.to_thread(load_config, settings.config, settings.limits)
        variables = await asyncio.to_thread(_variables, settings)
        if settings.tls_cert and settings.tls_key:
            await asyncio.to_thread(server_context, settings.tls_cert, settings.tls_key)
        async with contextlib.AsyncExitStack() as stack:
            sockets = stack.enter_context(contextlib.ExitStack())
            host, port = split_address(settings.listen)
            count = settings.workers or os.cpu_count() or 1
            listeners = await asyncio.to_thread(bind_all, sockets, host, port, count)
            state = await stack.enter_async_context(_state_directory())
            cache = settings.module_cache
            sandboxes = await stack.enter_async_context(Sandboxes.open(state / "loader", cache / "compiled"))
            stack.push_async_callback(sandboxes.shutdown)
            client = await stack.enter_async_context(RegistryClient())
            sources = Sources(cache / "images", client, settings.pull)
            policy = await asyncio.to_thread(_bindle_policy, settings)
            bindles = await stack.enter_async_context(Bindles.open(cache / "bindles", policy))
            sources.register("bindle", bindles.fetch)
            service = cls(settings, Loader(sandboxes, sources, variables), bindles, listeners)
            with log.step("loaded", config=settings.bindle or str(settings.config)) as fields:
                config = await service._read_config()
                service.handlers = await service._loader.load(config)
                fields["routes"] = len(service.handlers)
            service._files = await asyncio.to_thread(_identities, config)
            async with asyncio.TaskGroup() as tasks:
                running = [
                    tasks.create_task(service._keep(worker, state / f"worker-{worker.number}"))
                    for worker in service._workers
                ]
                running.append(tasks.create_task(service._renew()))
                try:
                    for worker in service._workers:
                        await worker.is_serving.wait()
                    yield service
                finally:
                    for task in running:
                        task.cancel()

    async def reload(self) -> bool:
        """Load the configuration again and serve it, unless it is wrong; return whether it was right."""
        async with self._loading:
            try:
                with log.step("loaded again") as fields:
                    config = await self._read_config()
                    handlers = await self._loader.load(config)
                    fields["routes"] = len(handlers)
            except ProaError as error:
                _complain(error)
                return False
            self.handlers = handlers
            self._files = await asyncio.to_thread(_identities, config)
            await asyncio.gather(*(worker.ask(Use(handlers)) for worker in self._workers))
            return True

    async def _read_config(self) -> Config:
        if self._settings.bindle is not None:
            return await self._bindles.config(self._settings.bindle, self._settings.limits)
        return await asyncio.to_thread(load_config, self._settings.config, self._settings.limits)

    async def statistics(self) -> Statistics:
        """Add up what the workers have counted since they were started."""
        reports = await asyncio.gather(*(worker.ask(Tell()) for worker in self._workers))
        return merge(report.statistics for report in reports if report)

    @property
    def workers(self) -> list[int]:
        """The process ids of the workers that serve."""
        return [worker.pid for worker in self._workers if worker.pid and worker.is_serving.is_set()]

    async def _keep(self, worker: WorkerPlace, state_dir: Path) -> None:
        """Run a worker, and another one whenever it ends."""
        backoff = _BACKOFF.start()
        while True:
            began = asyncio.get_running_loop().time()
            code = await worker.run(self._start_message(state_dir), lambda: self.handlers, self._settings)
            if asyncio.get_running_loop().time() - began > 60:
                backoff.reset()
            delay = backoff.next()
            log.error("a worker ended; starting another", worker=worker.number, code=code, delay=delay)
            await asyncio.sleep(delay)

    def _start_message(self, state_dir: Path) -> Start:
        chosen = self._settings
        return Start(
            executors=chosen.executors,
            hostname=chosen.hostname,
            cache_dir=(chosen.module_cache / "compiled").absolute(),
            state_dir=state_dir,
            log_dir=chosen.log_dir,
            access_log=chosen.access_log,
            tls_cert=chosen.tls_cert,
            tls_key=chosen.tls_key,
            shutdown_timeout=SHUTDOWN_SECONDS,
        )

    def request_reload(self) -> None:
        """Have the configuration loaded again soon; for signal handlers."""
        self._wanted.set()

    async def _renew(self) -> None:
        """Load again when asked to or when a file changes; what is half written, again when it is whole."""
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_WATCH_SECONDS):
                    await self._wanted.wait()
            changed = self._settings.watch and await asyncio.to_thread(_have_changed, self._files)
            if changed or self._wanted.is_set():
                self._wanted.clear()
                self._files = await asyncio.to_thread(lambda: {path: _identity(path) for path in self._files})
                await self.reload()


@contextlib.asynccontextmanager
async def _state_directory() -> AsyncIterator[Path]:
    """Make a directory for the zygotes' sockets; short-lived, as they end with this process."""
    directory = await asyncio.to_thread(tempfile.mkdtemp, prefix="proa-wagi-")
    try:
        yield Path(directory)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _complain(error: ProaError) -> None:
    problems = error.problems if isinstance(error, ConfigError) else (str(error),)
    for problem in problems:
        log.error("going on with the configuration before", problem=problem)


def _identities(config: Config) -> dict[Path, tuple[int, int, int]]:
    paths = [config.path]
    for module in config.modules:
        if ":" not in module.module:
            paths.append(Path(module.module))
        elif module.module.startswith("file:"):
            paths.append(Path("/" + module.module.removeprefix("file:").lstrip("/")))
    return {path: _identity(path) for path in paths}


def _have_changed(files: dict[Path, tuple[int, int, int]]) -> bool:
    return any(_identity(path) != identity for path, identity in files.items())


def _identity(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return status.st_ino, status.st_size, status.st_mtime_ns


def _bindle_policy(settings: WagiSettings) -> BindlePolicy:
    user, password = settings.bindle_http_user, settings.bindle_http_password
    origin = settings.bindle_url or (str(settings.bindle_path) if settings.bindle_path else None)
    credentials = Basic(user, password) if user is not None and password is not None else None
    return BindlePolicy(
        origin=origin,
        credentials=credentials,
        strategy=parse_strategy(settings.bindle_strategy),
        keyring=Keyring.load(settings.bindle_keyring) if settings.bindle_keyring else None,
    )


def _variables(settings: WagiSettings) -> dict[str, str]:
    """Variables for every handler: those given one by one over those of the file."""
    if settings.env_file is None:
        return settings.env
    try:
        lines = settings.env_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{settings.env_file}: cannot be read: {error}"]) from None
    variables, problems = {}, []
    for number, line in enumerate(lines, 1):
        name, equals, value = line.strip().partition("=")
        if name and not name.startswith("#"):
            variables[name.strip()] = value
            if not equals or not name.strip():
                problems.append(f"{settings.env_file}: line {number}: expected NAME=VALUE")
    if problems:
        raise ConfigError(problems)
    return variables | settings.env
