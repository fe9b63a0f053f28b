"""How admission refuses."""

from __future__ import annotations

from proa.controlplane._errors import StatusError, details
from proa.controlplane.registry import Review


def refused(review: Review, why: str) -> StatusError:
    """403: the request is not allowed, for a reason that is not the user's rights."""
    what = review.resource.qualified
    name = f' "{review.name}"' if review.name else ""
    return StatusError(403, "Forbidden", f"{what}{name} is forbidden: {why}", details(what, review.name))
