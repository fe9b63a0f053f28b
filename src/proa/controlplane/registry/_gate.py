"""The gate that all writes pass: strategies, checks and admission, each in its turn."""

from __future__ import annotations

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document
from proa.controlplane.storage._objects import tail_of
from proa.controlplane.storage._store import MAX_OBJECT, TooLargeError

from ._objects import check, conform, counts
from ._options import Options
from ._review import Admission, Review
from ._work import Work

_IGNORING = Options(field_validation="Ignore")
_SYSTEM = ("uid", "creationTimestamp", "generation", "resourceVersion", "managedFields")


class Gate:
    """Lets writes pass, or refuses them; what they are warned of goes with the refusal, too."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission

    async def admit(self, review: Review, work: Work) -> Document:
        """The object as it is to be stored, if nobody has anything against it.

        Raises:
            StatusError: Somebody has; it has the warnings, too.
        """
        try:
            await self._admission.mutate(review)
            new, old, resource = self._admitted(review), review.old, review.resource
            await work(check, resource, new, old, review.subresource)
            if not review.subresource:
                review.warnings += resource.strategy.warn(new)
                if old is not None and resource.strategy.generation and counts(resource, new, old):
                    new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
            await self._admission.convert(review)
            if work.large and len(tail_of(new)) > MAX_OBJECT:
                raise TooLargeError
            await self._admission.validate(review)
        except errors.StatusError as error:
            error.warnings += review.warnings
            raise
        return new

    def _admitted(self, review: Review) -> Document:
        """The object after admission has changed it."""
        assert review.new is not None
        if not review.conform:
            return review.new
        if review.resource.conversion is None:
            changed, _ = conform(review.resource, review.new, _IGNORING)
        else:
            changed = review.resource.stored_conformer(review.new)
        for name in _SYSTEM:
            if name in review.new["metadata"]:
                changed["metadata"][name] = review.new["metadata"][name]
        review.new = changed
        return changed

    async def ask(self, review: Review) -> None:
        """Asks whether there may be what is `apart` from objects.

        Raises:
            StatusError: It may not; it has the warnings, too.
        """
        try:
            await self._admission.ask(review)
        except errors.StatusError as error:
            error.warnings += review.warnings
            raise

    async def delete(self, review: Review) -> None:
        """Asks whether an object may be deleted.

        Raises:
            StatusError: It may not; it has the warnings, too.
        """
        try:
            await self._admission.validate(review)
        except errors.StatusError as error:
            error.warnings += review.warnings
            raise
