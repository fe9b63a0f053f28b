"""What there is to decide on, and what was decided."""

from __future__ import annotations

import msgspec

from ._authentication import User


class Attributes(msgspec.Struct, frozen=True):
    """What a request wants: to do `verb` with a resource, or with a path that is none."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""
    field_selector: str = ""
    impersonated_by: User | None = None
    """Who really asks, where that is not the user."""

    @property
    def resource_path(self) -> str:
        """The resource with its subresource, for example `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(msgspec.Struct, frozen=True):
    """Whether a request is allowed, and why, where there is more to say."""

    allowed: bool
    reason: str = ""


NO_OPINION = Decision(allowed=False)
