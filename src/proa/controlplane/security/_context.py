"""What the request at hand wants, for whoever has to know who asks: admission above all.

Work of the server's own has no request; it is done as `system:apiserver`, who may do everything.
"""

from __future__ import annotations

from contextvars import ContextVar

from ._attributes import Attributes
from ._authentication import AUTHENTICATED, User
from ._authorisation import MASTERS

OWN_WORK = Attributes(User("system:apiserver", groups=(MASTERS, AUTHENTICATED)), "")

audit_notes: ContextVar[dict[str, str] | None] = ContextVar("audit_notes", default=None)


def audit_annotations() -> dict[str, str]:
    """What the record of the request at hand is to say besides; to be added to."""
    notes = audit_notes.get()
    if notes is None:
        notes = {}
        audit_notes.set(notes)
    return notes


request_at_hand: ContextVar[Attributes] = ContextVar("request_at_hand", default=OWN_WORK)
