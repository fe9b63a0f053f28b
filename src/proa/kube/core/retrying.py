"""Whether to send a request again, and when: a decision on values."""

from __future__ import annotations

from dataclasses import dataclass

from proa.app.backoff import Backoff
from proa.kube.core.request import Request
from proa.kube.errors import ApiError, ConnectError, KubeError, RequestTimeoutError, TransportError

__all__ = ["Retry"]

_BACKOFF = Backoff(initial=0.2, maximum=10.0, jitter=0.5)


@dataclass(frozen=True, kw_only=True)
class Retry:
    """When a client sends a request again by itself. A value: share it, compare it, write it into settings.

    | what happened | repeated |
    |---|---|
    | 429, or 503 or 504 with `Retry-After` | any request: the server says that it did nothing |
    | 503 or 504 without | idempotent requests |
    | no connection: refused, timed out, unknown host | any request: nothing was sent |
    | the connection broke before the answer was complete | idempotent requests |
    | failed TLS handshake, no answer within the time | never: it would fail, or take as long, again |
    | 429 to an eviction | never: it is a disruption budget's answer, not overload |

    Idempotent are reads, PUT, DELETE and server-side apply. Caveat: where the lost answer was a success, the
    repeated DELETE may find nothing (404) and the repeated PUT a newer version (409).

    Raises:
        ValueError: a negative number.
    """

    limit: int = 4
    """How many times a request is repeated at most."""
    backoff: Backoff = _BACKOFF
    """How long to wait in between, where the server does not say."""
    longest_wait: float = 60.0
    """Seconds: a server that asks for more than that gets its error raised at once."""

    def __post_init__(self) -> None:
        if self.limit < 0 or self.longest_wait < 0:
            raise ValueError("limit and longest_wait must not be negative")

    def delay(self, request: Request, error: KubeError, failures: int) -> float | None:
        """Return the seconds to wait before the next attempt, or None if the error is to be raised.

        Args:
            request: what was sent.
            error: what came of it.
            failures: how many attempts have failed before this one.
        """
        if failures >= self.limit or not _repeatable(request, error):
            return None
        asked = error.retry_after if isinstance(error, ApiError) else None
        if asked is None:
            return self.backoff.delay(failures)
        # Spread out those who were all told the same; never sooner than asked.
        return asked + self.backoff.delay(0) if asked <= self.longest_wait else None


def _repeatable(request: Request, error: KubeError) -> bool:
    if isinstance(error, ApiError):
        if error.code == 429:
            return not request.path.endswith("/eviction")
        return error.code in {503, 504} and (request.idempotent or error.retry_after is not None)
    if isinstance(error, ConnectError):
        return error.retryable
    lost = isinstance(error, TransportError) and not isinstance(error, RequestTimeoutError)
    return lost and request.idempotent
