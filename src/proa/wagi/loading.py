"""From a configuration to handlers: fetch every module, compile it, ask it for its own routes."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from proa.app import ProaError, logs
from proa.wagi._binary import exported_functions
from proa.wagi._messages import Invocation
from proa.wagi.config import Config, Module
from proa.wagi.errors import ConfigError, WagiError
from proa.wagi.executors import Executors
from proa.wagi.handlers import Handler
from proa.wagi.routing import parse_sub_routes
from proa.wagi.sources import Fetched, Sources
from proa.wasm import CompiledModule, ModuleTerms, Mount, Outbound, Sandboxes

__all__ = ["Loader"]

log = logs.get_logger(__name__)

_AT_ONCE: Final = 16
_ROUTES: Final = "_routes"
_ROUTES_SECONDS: Final = 10.0


class Loader:
    """Loads configurations, one after another; what did not change costs little the second time.

    Args:
        sandboxes: Where modules are compiled, and asked for their routes.
        sources: Where they come from.
        environment: Variables for every handler.
    """

    def __init__(
        self, sandboxes: Sandboxes, sources: Sources, environment: Mapping[str, str] | None = None
    ) -> None:
        self._sandboxes = sandboxes
        self._sources = sources
        self._environment = dict(environment or {})
        self._turns = asyncio.Semaphore(_AT_ONCE)

    async def load(self, config: Config) -> list[Handler]:
        """Return the handlers in order of precedence.

        Raises:
            ConfigError: With every module that cannot be served, each with its line.
        """
        for remark in config.remarks:
            log.warning("configuration", remark=remark)
        results = await asyncio.gather(
            *(self._load(module) for module in config.modules), return_exceptions=True
        )
        problems = []
        handlers: list[Handler] = []
        for module, result in zip(config.modules, results, strict=True):
            if isinstance(result, ProaError):
                problems.append(f"{config.path}: line {module.line}: {module.route}: {result}")
            elif isinstance(result, BaseException):
                raise result
            else:
                handlers += result
        if problems:
            raise ConfigError(problems)
        return handlers

    async def _load(self, module: Module) -> list[Handler]:
        async with self._turns:
            fetched = await self._sources.fetch(module)
            exports = await asyncio.to_thread(exported_functions, fetched.path)
            # A module with routes of its own may well have no entrypoint for the one that it is given.
            required = () if _ROUTES in exports else (module.entrypoint,)
            terms = ModuleTerms(exports=required, http=True)
            compiled = await self._sandboxes.compile(fetched.path, fetched.sha256, terms)
            handler = await asyncio.to_thread(self._handler, module, fetched, compiled)
            if _ROUTES not in exports:
                return [handler]
            return [*await self._sub_handlers(handler, exports), handler]

    def _handler(self, module: Module, fetched: Fetched, compiled: CompiledModule) -> Handler:
        mounts = [*fetched.mounts]
        for target, source in module.volumes.items():
            if Path(source).is_dir():
                mounts.append(Mount(Path(source).absolute(), target))
            else:
                log.warning("no such directory for a volume", route=module.route, volume=target, path=source)
        outbound = None
        if module.allowed_hosts:
            outbound = Outbound(hosts=module.allowed_hosts, max_requests=module.http_max_concurrency)
        return Handler(
            route=module.route,
            module=compiled,
            entrypoint=module.entrypoint,
            argv=module.argv,
            environment={**self._environment, **module.environment},
            mounts=tuple(mounts),
            outbound=outbound,
            limits=module.limits,
        )

    async def _sub_handlers(self, handler: Handler, exports: frozenset[str]) -> list[Handler]:
        """Run `_routes`, without environment and arguments as WAGI does."""
        output = await _run(self._sandboxes, handler, _ROUTES)
        routes = parse_sub_routes(output, handler.route)
        if missing := [route.entrypoint for route in routes if route.entrypoint not in exports]:
            raise WagiError(f"_routes of {handler.route}: the module exports no function {missing[0]}")
        return [
            msgspec.structs.replace(handler, route=route.pattern, entrypoint=route.entrypoint)
            for route in routes
        ]


async def _run(sandboxes: Sandboxes, handler: Handler, entrypoint: str) -> bytes:
    invocation = Invocation(
        str(handler.module.path), False, entrypoint, [], [], [], memory_limit=handler.limits.memory
    )
    async with Executors.open(sandboxes, limit=1, spare=1) as executors:
        with executors.run(invocation, seconds=_ROUTES_SECONDS, patience=_ROUTES_SECONDS) as execution:
            while not execution.is_over:
                await execution.wait(execution.size)
            if execution.failure:
                raise WagiError(f"{entrypoint} of {handler.route}: {execution.failure}")
            result = execution.result
            assert result
            if result.end != "exited" or result.code:
                reason = result.message or f"exit code {result.code}"
                raise WagiError(f"{entrypoint} of {handler.route}: it failed: {reason}")
            return execution.take(execution.size)
