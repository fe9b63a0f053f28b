"""The server put together: routes, errors, authentication, figures."""

import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

import proa
from proa.app import Health, Metrics, http, logs
from proa.app.files import StorageError
from proa.bindle.auth import Authenticator
from proa.bindle.errors import (
    AccessDeniedError,
    BindleError,
    InvoiceExistsError,
    InvoiceNotFoundError,
    ParcelExistsError,
    ParcelNotFoundError,
    QuotaExceededError,
    ReadOnlyError,
    ServerUnavailableError,
    UnauthorizedError,
    YankedError,
)
from proa.bindle.invoice import INVOICE_LIMIT
from proa.bindle.server._handlers import Backend, Handlers, Trust, document
from proa.bindle.wire import ErrorBody

__all__ = ("make_application",)

_STATUS: Final[dict[type[BindleError], int]] = {
    UnauthorizedError: 401,
    AccessDeniedError: 403,
    YankedError: 403,
    ReadOnlyError: 403,
    InvoiceNotFoundError: 404,
    ParcelNotFoundError: 404,
    InvoiceExistsError: 409,
    ParcelExistsError: 409,
    QuotaExceededError: 413,
    ServerUnavailableError: 502,
}

log = logs.get_logger(__name__)


def make_application(
    backend: Backend, trust: Trust, authenticator: Authenticator, health: Health, metrics: Metrics
) -> web.Application:
    """Return the application: Bindle's protocol under `/v1`, operations beside it."""
    api = web.Application(
        middlewares=[_measuring(metrics), _explaining, _admitting(authenticator)],
        client_max_size=INVOICE_LIMIT + 1,
    )
    Handlers(backend, trust, authenticator).add_to(api.router)
    application = web.Application()
    # Before the operations, whose own /healthz is not what Bindle's clients read.
    application.router.add_get("/healthz", _healthz)
    application.add_subapp("/v1", api)
    http.add_operations(application, health, metrics)
    return application


async def _healthz(_request: web.Request) -> web.Response:
    return web.json_response({"status": "OK", "version": proa.__version__})


def _measuring(metrics: Metrics) -> Middleware:
    seconds = metrics.histogram(
        "proa_bindle_request_seconds", "Time to answer a request", ("endpoint", "method", "status")
    )

    @web.middleware
    async def measure(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        status = 500
        try:
            response = await handler(request)
            status = response.status
            return response
        finally:
            endpoint = getattr(request.match_info.handler, "__name__", "none")
            seconds.labels(endpoint, request.method, str(status)).observe(time.perf_counter() - began)

    return measure


@web.middleware
async def _explaining(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer failures with a document; what is not the client's fault is logged and not told."""
    try:
        return await handler(request)
    except BindleError as error:
        status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 400)
        response = document(request, ErrorBody(error=str(error)), status)
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="bindle"'
        return response
    except StorageError as error:
        log.error("the disk refused", error=str(error))  # noqa: TRY400 - no defect: its message says it all
        return document(request, ErrorBody(error="the server can't store that now"), 507)
    except ConnectionError:
        return web.Response(status=400)  # for the log: the client is gone
    except web.HTTPException as error:
        if error.status < 400:
            raise
        response = document(request, ErrorBody(error=error.reason), error.status)
        if allow := error.headers.get("Allow"):
            response.headers["Allow"] = allow
        return response


def _admitting(authenticator: Authenticator) -> Middleware:
    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let everybody read, and those known write."""
        principal = await authenticator.principal(request.headers.get("Authorization"))
        if principal is None and not authenticator.open and request.method not in {"GET", "HEAD"}:
            raise AccessDeniedError("access denied: this needs credentials")
        return await handler(request)

    return admit
