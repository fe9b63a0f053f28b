"""Who may look: one-time codes and the sessions of browsers, in memory only."""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ("IDLE_SECONDS", "Pass", "Sessions")

IDLE_SECONDS: Final = 12 * 3600.0
CODE_SECONDS: Final = 24 * 3600.0
MOST: Final = 256

T = TypeVar("T")


@dataclass(slots=True)
class _Session(Generic[T]):
    identity: T
    key: bytes
    used: float


@dataclass(frozen=True)
class Pass:
    """What a browser shows: both halves, or it is nobody.

    Attributes:
        cookie: the half that scripts cannot read, but that a browser sends to every port of this host.
        key: the half that other ports do not get, but that scripts of this page can read.
    """

    cookie: str
    key: str


class Sessions(Generic[T]):
    """Codes that open a session once, and sessions that end when nobody has used them for twelve hours.

    Only hashes are kept: what is in this process's memory opens nothing.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[bytes, tuple[T, float]] = {}
        self._sessions: dict[bytes, _Session[T]] = {}

    def code(self, identity: T) -> str:
        """Return a new code that opens a session of this identity, once, within a day."""
        code = secrets.token_urlsafe(24)
        self._codes[_hash(code)] = identity, self._clock() + CODE_SECONDS
        return code

    def redeem(self, code: str) -> T | None:
        """Return the identity that a code stands for, which is used up by that; None for any other text."""
        identity, until = self._codes.pop(_hash(code), (None, 0.0))
        return identity if self._clock() < until else None

    def open(self, identity: T) -> Pass:
        """Return what a browser shows from now on. Of too many sessions the one unused longest ends."""
        if len(self._sessions) >= MOST:
            del self._sessions[min(self._sessions, key=lambda each: self._sessions[each].used)]
        made = Pass(secrets.token_urlsafe(32), secrets.token_urlsafe(32))
        self._sessions[_hash(made.cookie)] = _Session(identity, _hash(made.key), self._clock())
        return made

    def find(self, shown: Pass) -> T | None:
        """Return whose session it is; None where there is none, or not any more."""
        session = self._sessions.get(at := _hash(shown.cookie))
        if session is None or not secrets.compare_digest(session.key, _hash(shown.key)):
            return None
        if self._clock() - session.used > IDLE_SECONDS:
            del self._sessions[at]
            return None
        session.used = self._clock()
        return session.identity

    def close(self, shown: Pass) -> None:
        """End a session."""
        if self.find(shown) is not None:
            del self._sessions[_hash(shown.cookie)]


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="replace")).digest()
