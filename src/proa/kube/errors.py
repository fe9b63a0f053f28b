"""Everything that `proa.kube` raises.

    KubeError
    ├── ConfigError             a kubeconfig or the in-cluster files: names file, context and field
    ├── InvalidRequestError     refused before anything was sent (also a ValueError)
    ├── ManifestError           a file of objects that cannot be read: names file and document
    ├── UnknownResourceError    the server offers no such resource or kind
    ├── DecodeError             an answer that is not the type asked for: names type and JSON path
    ├── TransportError          no complete answer came; the request may or may not have been carried out
    │   ├── ConnectError        nothing was sent: refused, unknown host
    │   │   └── TlsError        the TLS handshake failed: wrong authority, expired certificate, wrong name
    │   └── RequestTimeoutError too slow, or a stream silent for too long (also a TimeoutError)
    └── ApiError                the server answered with a Status
        ├── BadRequestError           400
        ├── UnauthorizedError         401
        ├── ForbiddenError            403
        ├── NotFoundError             404
        ├── MethodNotAllowedError     405
        ├── NotAcceptableError        406
        ├── ConflictError             409  the object has changed: get it anew and try again
        │   └── AlreadyExistsError    409
        ├── GoneError                 410  resource version or continue token too old: list anew
        ├── RequestTooLargeError      413
        ├── UnsupportedMediaTypeError 415
        ├── InvalidError              422
        ├── TooManyRequestsError      429  retryable after `retry_after`
        ├── InternalError             500
        ├── ServiceUnavailableError   503  retryable
        └── ServerTimeoutError        504  retryable, also the reason ServerTimeout under any code

Retryable: TransportError for requests that may be repeated, and the ApiErrors marked so
(`ApiError.retryable`). Every message is one line for the person who reads it.
"""

from __future__ import annotations

from typing import ClassVar

from proa.app.errors import ProaError
from proa.kube.models.meta_v1 import Status, StatusDetails

__all__ = [
    "AlreadyExistsError",
    "ApiError",
    "BadRequestError",
    "ConfigError",
    "ConflictError",
    "ConnectError",
    "DecodeError",
    "ForbiddenError",
    "GoneError",
    "InternalError",
    "InvalidError",
    "InvalidRequestError",
    "KubeError",
    "ManifestError",
    "MethodNotAllowedError",
    "NotAcceptableError",
    "NotFoundError",
    "RequestTimeoutError",
    "RequestTooLargeError",
    "ServerTimeoutError",
    "ServiceUnavailableError",
    "TlsError",
    "TooManyRequestsError",
    "TransportError",
    "UnauthorizedError",
    "UnknownResourceError",
    "UnsupportedMediaTypeError",
    "api_error",
]


class KubeError(ProaError):
    """The base of all errors of this package."""


class ConfigError(KubeError):
    """A configuration that cannot be used."""

    exit_code: ClassVar[int] = 2


class InvalidRequestError(KubeError, ValueError):
    """A request that no server would accept, refused before it was sent."""


class ManifestError(KubeError):
    """A file of objects that cannot be read, or an object that cannot be applied."""

    exit_code: ClassVar[int] = 2


class UnknownResourceError(KubeError):
    """A resource or kind that the server does not offer."""


class DecodeError(KubeError):
    """Bytes that are not JSON of the expected type."""


class TransportError(KubeError):
    """No complete answer came. Whether the request was carried out is unknown, except for `ConnectError`."""


class ConnectError(TransportError):
    """No connection could be made; nothing was sent."""

    retryable: ClassVar[bool] = True
    """Whether another attempt may succeed without any change."""


class TlsError(ConnectError):
    """One of the two sides does not accept the other's certificate; the message says which and why."""

    retryable: ClassVar[bool] = False


class RequestTimeoutError(TransportError, TimeoutError):
    """The server took longer than the request's timeout, or a stream was silent for too long."""


class ApiError(KubeError):
    """The server refused or failed. `status` is what it said."""

    retryable: ClassVar[bool] = False
    """Whether the same request may succeed later without any change."""

    def __init__(self, status: Status) -> None:
        super().__init__(" ".join((status.message or status.reason or f"status {status.code}").split()))
        self.status = status

    @property
    def code(self) -> int:
        """The HTTP status code."""
        return self.status.code or 500

    @property
    def reason(self) -> str:
        """Kubernetes' reason in one word, such as `NotFound`; empty where the server gave none."""
        return self.status.reason or ""

    @property
    def retry_after(self) -> int | None:
        """Seconds that the server asks to wait before the next attempt."""
        return self.status.details.retry_after_seconds if self.status.details else None


class BadRequestError(ApiError):
    """400: the server could not make sense of the request."""


class UnauthorizedError(ApiError):
    """401: no credentials, or none that the server accepts."""


class ForbiddenError(ApiError):
    """403: known, but not allowed to do this."""


class NotFoundError(ApiError):
    """404: no such object, or no such resource on this server."""


class MethodNotAllowedError(ApiError):
    """405: the resource does not offer this verb."""


class NotAcceptableError(ApiError):
    """406: the server cannot answer in the format asked for."""


class ConflictError(ApiError):
    """409: the object has changed since it was read."""


class AlreadyExistsError(ConflictError):
    """409: an object of that name exists."""


class GoneError(ApiError):
    """410: the resource version or continue token is too old; list anew."""


class RequestTooLargeError(ApiError):
    """413: the object is larger than the server stores."""


class UnsupportedMediaTypeError(ApiError):
    """415: this kind of patch does not work on this resource; custom resources know no strategic merge."""


class InvalidError(ApiError):
    """422: the object breaks the rules of its type; `status.details.causes` names the fields."""


class TooManyRequestsError(ApiError):
    """429: slow down; for an eviction: a disruption budget forbids it now."""

    retryable: ClassVar[bool] = True


class InternalError(ApiError):
    """500, and any other code without a class of its own."""


class ServiceUnavailableError(ApiError):
    """503: the server is starting, stopping or overloaded."""

    retryable: ClassVar[bool] = True


class ServerTimeoutError(ApiError):
    """504: the server could not do it in time; it may yet happen."""

    retryable: ClassVar[bool] = True


_BY_REASON: dict[str, type[ApiError]] = {
    "AlreadyExists": AlreadyExistsError,
    "Expired": GoneError,
    "ServerTimeout": ServerTimeoutError,
    "Timeout": ServerTimeoutError,
}
_BY_CODE: dict[int, type[ApiError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    403: ForbiddenError,
    404: NotFoundError,
    405: MethodNotAllowedError,
    406: NotAcceptableError,
    409: ConflictError,
    410: GoneError,
    413: RequestTooLargeError,
    415: UnsupportedMediaTypeError,
    422: InvalidError,
    429: TooManyRequestsError,
    503: ServiceUnavailableError,
    504: ServerTimeoutError,
}


def api_error(status: Status, retry_after: int | None = None) -> ApiError:
    """Return the exception for a Status: by its reason where that says more, else by its code.

    `retry_after` is the header of that name, used where the Status itself says nothing.
    """
    if retry_after is not None:
        status.details = status.details or StatusDetails()
        status.details.retry_after_seconds = status.details.retry_after_seconds or retry_after
    error = _BY_REASON.get(status.reason or "") or _BY_CODE.get(status.code or 500, InternalError)
    return error(status)
