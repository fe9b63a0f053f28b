"""The aiohttp application of a registry: routes, and what goes around every request."""

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from proa.app import Health, Metrics, http, logs
from proa.oci.errors import StorageError
from proa.oci.registry._blobs import BlobHandlers
from proa.oci.registry._catalog import Catalog
from proa.oci.registry._errors import ApiError, error_response
from proa.oci.registry._manifests import ManifestHandlers
from proa.oci.registry._state import State
from proa.oci.registry._uploads import Uploads

if TYPE_CHECKING:
    from prometheus_client import Histogram

__all__ = ("make_application",)

log = logs.get_logger(__name__)


def make_application(
    state: State, uploads: Uploads, health: Health, metrics: Metrics, middlewares: Sequence[Middleware]
) -> web.Application:
    """Return the application that serves `state` inside `middlewares`. It blocks: call it in a thread."""
    seconds = metrics.histogram(
        "proa_registry_request_seconds", "Time taken by requests", ("method", "status")
    )
    application = web.Application(middlewares=[*middlewares, _measured(seconds), _answer_errors])
    application.router.add_get("/v2/", _version)
    application.router.add_get("/v2", _version)
    ManifestHandlers(state).add_to(application.router)
    BlobHandlers(state, uploads).add_to(application.router)
    health.add_readiness("registry", lambda: _is_ready(state))
    http.add_operations(application, health, metrics)
    return application


async def _version(request: web.Request) -> web.Response:
    return web.json_response({}, headers={"Docker-Distribution-API-Version": "registry/2.0"})


async def _is_ready(state: State) -> bool:
    await state.ask(Catalog.repositories, "", 1)
    return True


def _measured(seconds: "Histogram") -> Middleware:
    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        started = time.perf_counter()
        response = await handler(request)
        method = request.method if request.method in hdrs.METH_ALL else "other"
        seconds.labels(method, response.status).observe(time.perf_counter() - started)
        return response

    return measure


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every failure into the specification's error document."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPException as error:
        return error_response(ApiError(error.status, "UNSUPPORTED", error.reason, _allowed(error)))
    except StorageError as error:
        log.warning("storage failed", path=request.path, error=str(error))
        return error_response(ApiError(500, "UNKNOWN", "the registry's storage failed; its log says why"))
    except (ConnectionError, web.RequestPayloadError) as error:
        log.debug("client went away", path=request.path, error=str(error))
        return error_response(ApiError(400, "BLOB_UPLOAD_INVALID", "the request broke off"))
    except asyncio.CancelledError:
        raise
    except Exception:
        log.exception("request failed", method=request.method, path=request.path)
        return error_response(ApiError(500, "UNKNOWN", "internal error; the registry's log says more"))


def _allowed(error: web.HTTPException) -> dict[str, str]:
    return {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
