"""Who is asked a second time: those that want to be, if others changed the object after them. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy
"""

from __future__ import annotations

from collections.abc import Hashable

from proa.controlplane._json import Document, encode


class Rounds:
    """What has happened to one write so far, as those of one kind see it."""

    def __init__(self) -> None:
        self._asked: set[Hashable] = set()
        self._again: set[Hashable] = set()
        self._left = b""

    def begin(self, document: Document | None, *, again: bool) -> None:
        """A round begins; in the second one, what others have changed since the first counts."""
        if again and encode(document) != self._left:
            self.changed()

    def end(self, document: Document | None) -> None:
        """A round is over."""
        self._left = encode(document)

    def asked(self, who: Hashable) -> None:
        """Somebody was asked who wants to be asked again."""
        self._asked.add(who)

    def changed(self) -> None:
        """The object has changed: all that were asked before are to be asked again."""
        self._again |= self._asked
        self._asked = set()

    def wants(self, who: Hashable, *, again: bool) -> bool:
        """Whether somebody is to be asked in this round."""
        return not again or who in self._again
