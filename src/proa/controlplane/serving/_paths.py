"""Paths that are no resources: discovery, OpenAPI, health, version, metrics."""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable

from aiohttp import web

from proa import __version__
from proa.app import Health, Metrics
from proa.controlplane._json import Document
from proa.controlplane.presentation import Discovery, openapi_v2, openapi_v3, openapi_v3_index
from proa.controlplane.presentation._discovery import AGGREGATED
from proa.controlplane.registry import Catalogue
from proa.controlplane.security import TokenIssuer
from proa.controlplane.security._tokens import ISSUER

from . import _responses
from ._dispatcher import Call

KUBERNETES = ("1", "36")
_PATHS = (
    "/.well-known/openid-configuration",
    "/api",
    "/apis",
    "/healthz",
    "/livez",
    "/metrics",
    "/openapi/v2",
    "/openapi/v3",
    "/openid/v1/jwks",
    "/readyz",
    "/version",
)


class PathService:
    """Answers for paths that are no resources."""

    def __init__(
        self,
        catalogue: Catalogue,
        issuer: TokenIssuer,
        address: Callable[[], str],
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._catalogue = catalogue
        self._discovery = Discovery(catalogue)
        self._issuer = issuer
        self._address = address
        self._health = health
        self._metrics = metrics

    async def answer(self, call: Call) -> web.StreamResponse | None:
        """The answer, or None if there is nothing at the path."""
        if call.info.verb != "get":
            return None
        path = call.info.path.rstrip("/")
        parts = path.split("/")[1:]
        match parts:
            case ["api"]:
                return self._versions(call, core=True)
            case ["apis"]:
                return self._versions(call, core=False)
            case ["api", version]:
                return _or_nothing(self._discovery.resource_list("", version))
            case ["apis", group]:
                return _or_nothing(self._discovery.group(group))
            case ["apis", group, version]:
                return _or_nothing(self._discovery.resource_list(group, version))
            case ["version"]:
                return _responses.json(version_document())
            case ["openapi", *rest]:
                return await asyncio.to_thread(self._openapi, rest)  # large documents, made when first wanted
            case ["healthz" | "livez" | "readyz" as kind, *rest] if len(rest) < 2:
                return await self._health_of(call, kind, *rest)
            case [".well-known" | "openid", *_]:
                return await self._issuer_path(parts)
            case ["metrics"]:
                accept = call.request.headers.get("Accept", "")
                body, content_type = await asyncio.to_thread(self._metrics.render, accept)
                return web.Response(body=body, headers={"Content-Type": content_type})
            case []:
                return _responses.json({"paths": self._index()})
        return None

    def _index(self) -> list[str]:
        """All paths that are no resources, sorted."""
        groups = self._catalogue.groups()
        versions = [f"/apis/{group}/{version}" for group in groups for version in groups[group] if group]
        core = [f"/api/{version}" for version in groups.get("", ())]
        return sorted([*_PATHS, *core, *versions, *(f"/apis/{group}" for group in groups if group)])

    def _versions(self, call: Call, *, core: bool) -> web.Response:
        if "as=APIGroupDiscoveryList" in call.request.headers.get("Accept", "").replace(" ", ""):
            document = self._discovery.aggregated(core=core)
            return _responses.json(document, headers={"Content-Type": AGGREGATED})
        if core:
            return _responses.json(self._discovery.core_versions(self._address()))
        return _responses.json(self._discovery.group_list())

    async def _issuer_path(self, parts: list[str]) -> web.StreamResponse | None:
        if parts == [".well-known", "openid-configuration"]:
            return _responses.json(self._issuer_document())
        if parts == ["openid", "v1", "jwks"]:
            keys = await asyncio.to_thread(lambda: self._issuer.key_set)
            return _responses.json(keys, headers={"Content-Type": "application/jwk-set+json"})
        return None

    def _issuer_document(self) -> Document:
        """Where those who verify service accounts' tokens find the key (OpenID Connect Discovery 1.0)."""
        return {
            "issuer": ISSUER,
            "jwks_uri": f"https://{self._address()}/openid/v1/jwks",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def _openapi(self, rest: list[str]) -> web.StreamResponse | None:
        match rest:
            case ["v2"]:
                return _responses.json_bytes(openapi_v2(self._catalogue))
            case ["v3"]:
                return _responses.json(openapi_v3_index(self._catalogue))
            case ["v3", "api", version]:
                return self._openapi_v3("", version)
            case ["v3", "apis", group, version]:
                return self._openapi_v3(group, version)
        return None

    def _openapi_v3(self, group: str, version: str) -> web.StreamResponse | None:
        if self._catalogue.served(group, version) is None:
            return None
        return _responses.json_bytes(openapi_v3(self._catalogue, group, version))

    async def _health_of(self, call: Call, kind: str, check: str = "") -> web.Response | None:
        if check:
            report = await self._health.one(check, kind)
        else:
            report = await (self._health.live(kind) if kind == "livez" else self._health.ready(kind))
        if report is None:
            return None
        return _responses.text(report.text(verbose="verbose" in call.info.query), 200 if report.ok else 500)


def _or_nothing(document: Document | None) -> web.StreamResponse | None:
    return None if document is None else _responses.json(document)


def version_document() -> Document:
    """`/version`: the Kubernetes version whose API this is, and Proa's own."""
    major, minor = KUBERNETES
    return {
        "major": major,
        "minor": minor,
        "gitVersion": f"v{major}.{minor}.0+proa-{__version__}",
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }
