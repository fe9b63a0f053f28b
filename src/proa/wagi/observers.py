"""Who hears what handlers do: an interface, and the observer that logs it."""

from typing import Protocol

from proa.app import logs
from proa.wagi.errors import HandlerError
from proa.wagi.protocol import Request

__all__ = ["Logger", "Observer"]

log = logs.get_logger(__name__)


class Observer(Protocol):
    """Who hears what handlers do; nothing of it may block.

    Attributes:
        follows_answers: Whether it needs to hear of every answer: that costs something.
    """

    follows_answers: bool

    def answered(self, request: Request, route: str, status: int, sent: int, seconds: float) -> None:
        """A request has been answered."""

    def printed(self, route: str, request_id: str, text: bytes) -> None:
        """A handler has written to its standard error."""

    def failed(self, route: str, request_id: str, error: HandlerError) -> None:
        """A handler has not answered as it should."""


class Logger:
    """An observer that logs errors and what handlers print to standard error."""

    follows_answers = False

    def answered(self, request: Request, route: str, status: int, sent: int, seconds: float) -> None:
        """Say nothing: there may be thousands a second."""

    def printed(self, route: str, request_id: str, text: bytes) -> None:
        """Log each line."""
        for line in text.decode(errors="replace").splitlines():
            log.info("handler printed", route=route, request=request_id, line=line)

    def failed(self, route: str, request_id: str, error: HandlerError) -> None:
        """Log the reason, with the backtrace if there is one."""
        more = {"backtrace": error.detail} if error.detail else {}
        log.warning(
            "handler failed", route=route, request=request_id, status=error.status, error=str(error), **more
        )
