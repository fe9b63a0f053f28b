"""Create, update and delete, as every resource does them.

A write is computed on the newest version of its object (committed or on its way) and handed to the store
without giving up control in between, so no other write can come between the comparison of versions and
the numbering.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from proa.controlplane import _errors as errors
from proa.controlplane._json import Document
from proa.controlplane.apply import Fields
from proa.controlplane.storage import Key, Store, Stored
from proa.controlplane.storage._objects import tail_of

from ._deletion import check_preconditions, is_released, mark_deleted, timestamp
from ._gate import Gate
from ._names import generated
from ._objects import (
    conform,
    new_object,
    settle_identity,
    settle_main,
    status_only,
    without_unchanged,
)
from ._options import DeleteOptions, Options
from ._outcome import Outcome, check_name, stored_form
from ._ownership import apply_to, own_applied, own_created, own_updated
from ._parts import settle_part
from ._resource import Resource
from ._review import Admission, Review
from ._work import Work

Change = Callable[[Document], Any]
"""From an object to what it shall be; must not change what it is given."""
Own = Callable[[Document, Document], None]
"""Notes on an object that is about to be written who owns which of its fields; the other is what it was."""
GENERATE_ATTEMPTS = 8
STATUS_WRITE = frozenset({"kind", "apiVersion", "metadata", "status"})
"""What a change of a status names, and none of the rest."""
UNOWNED = frozenset({"binding"})
"""Subresources that write without a manager."""
LARGE = 32 * 1024
"""Bytes from which an object is large."""


class Registry:
    """The writes of the API, on top of the store.

    Admission changes an object after its strategy has prepared it and before it is checked, and has the last
    word after that. Should it take so long that the object is another one by then, all is done anew.
    """

    def __init__(self, store: Store, admission: Admission) -> None:
        self.store = store
        self._gate = Gate(admission)

    def key(self, resource: Resource, namespace: str, name: str) -> Key:
        """Where an object of a resource is kept."""
        return Key(resource.storage, namespace if resource.namespaced else "", name)

    def latest(self, resource: Resource, namespace: str, name: str) -> Stored:
        """The newest version of an object.

        Raises:
            StatusError: 404.
        """
        stored = self.store.latest(self.key(resource, namespace, name))
        if stored is None:
            raise errors.not_found(resource.qualified, name)
        return stored

    async def create(
        self,
        resource: Resource,
        namespace: str,
        document: Document,
        options: Options,
        own: Own | None = None,
    ) -> Outcome:
        """Creates an object.

        Raises:
            StatusError: 400 the document is not of the resource's type; 404 no such namespace; 409 the
                name is taken;
                422 it is invalid.
        """
        work = Work(resource, large=options.large)
        new, warnings = await work(new_object, resource, namespace, document, options)
        metadata = new["metadata"]
        if own is None:
            await work(own_created, resource, new, options, metadata["creationTimestamp"])
        else:
            await work(own, new, {})
        new = stored_form(resource, new)
        metadata = new["metadata"]
        for attempt in range(GENERATE_ATTEMPTS):
            if "name" not in metadata and metadata.get("generateName"):
                metadata["name"] = generated(metadata["generateName"])
            key = self.key(resource, namespace, metadata.get("name", ""))
            if self.store.latest(key) is None:
                break
            if "name" in document.get("metadata", {}) or attempt == GENERATE_ATTEMPTS - 1:
                raise errors.already_exists(resource.qualified, key.name)
            del metadata["name"]
        metadata.setdefault("name", "")  # which is refused, once everything else has been looked at, too
        resource.strategy.prepare_create(new)
        review = Review("CREATE", resource, key.namespace, key.name, new, None, options, "", warnings)
        review.overtaken = lambda: self.store.latest(key) is not None
        new = await self._gate.admit(review, work)
        if self.store.latest(key) is not None:  # somebody was faster while a webhook was asked
            raise errors.already_exists(resource.qualified, key.name)
        if options.dry_run:
            return Outcome(tail_of(new), metadata["uid"], created=True, warnings=warnings)
        stored = await self.store.put(key, new)
        return Outcome(stored.tail, stored.uid, created=True, warnings=warnings)

    async def update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        options: Options,
        subresource: str = "",
        own: Own | None = None,
        about: Collection[str] | None = None,
    ) -> Outcome:
        """Replaces an object by what `change` makes of it; with a `subresource`, the part that it stands for.

        Args:
            resource: What it is.
            namespace: Where it is.
            name: What it is called.
            change: From the object as it is to what it shall be.
            options: How it is to be done.
            subresource: Which part is to be written.
            own: Who notes the fields' owners, if not the usual way.
            about: The parts of the object that `change` looks at and changes, if not all.

        Raises:
            StatusError: 404 it is not there; 409 it is not the version that the new document says; 400
                and 422 as for creation.
        """
        key = self.key(resource, namespace, name)

        def note(new: Document, old: Document) -> None:
            if subresource not in UNOWNED:
                own_updated(resource, new, old, options, subresource, timestamp())

        while True:
            current = self.store.latest(key)
            if current is None:
                return await self._create_by_update(resource, namespace, name, change, options, subresource)
            of_status = subresource == "status" and about is not None and STATUS_WRITE.issuperset(about)
            if of_status and not options.large:
                written = await self._replace_status(resource, current, change, options)
                if written is not None:
                    return written
            old = resource.served(current.document())
            work = Work(resource, subresource, large=options.large or len(current.tail) > LARGE)
            changed = await work(change, old)
            if changed is old:
                return Outcome(current.tail, current.uid)
            outcome = await self._replace(
                resource, current, old, changed, own or note, options, subresource, work
            )
            if outcome is not None:
                return outcome

    async def apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        config: Document,
        options: Options,
        subresource: str = "",
    ) -> Outcome:
        """Applies a configuration: what it says is so afterwards and belongs to its manager; what the
        manager said before and does not any more is gone. An object that is not there is created.

        Raises:
            StatusError: 409 it changes what others own; else as for creation and update.
        """
        if (config.get("metadata") or {}).get("managedFields") is not None:
            raise errors.bad_request("metadata.managedFields must be nil")
        while True:
            current = self.store.latest(self.key(resource, namespace, name))
            old = resource.served(current.document()) if current else {}
            large = options.large or (current is not None and len(current.tail) > LARGE)
            work = Work(resource, subresource, large=large)
            changed, claimed = await work(apply_to, resource, old, config, options, subresource)

            def own(new: Document, old: Document, claimed: Fields = claimed) -> None:
                own_applied(resource, new, old, claimed, options, subresource, timestamp())

            if current is None:
                return await self._create_by_apply(
                    resource, namespace, name, changed, own, options, subresource
                )
            outcome = await self._replace(resource, current, old, changed, own, options, subresource, work)
            if outcome is not None:
                return outcome

    async def _create_by_apply(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        document: Document,
        own: Own,
        options: Options,
        subresource: str,
    ) -> Outcome:
        if subresource:
            raise errors.not_found(resource.qualified, name)
        metadata = document.setdefault("metadata", {})
        if metadata.get("uid"):
            raise errors.conflict(resource.qualified, name, "it is not there, so it does not have that uid")
        check_name(metadata.setdefault("name", name), name)
        return await self.create(resource, namespace, document, options, own)

    async def _replace(
        self,
        resource: Resource,
        current: Stored,
        old: Document,
        changed: Document,
        own: Own,
        options: Options,
        subresource: str,
        work: Work,
    ) -> Outcome | None:
        """What comes of an object's change; None if the object was another one by the end of it."""
        key = current.key
        new, warnings = await work(_settle, resource, changed, old, key, options, subresource)
        await work(own, new, old)
        new, old = stored_form(resource, new), stored_form(resource, old)
        review = Review("UPDATE", resource, *key[1:], new, old, options, subresource, warnings)
        review.overtaken = lambda: self.store.latest(key) is not current
        new = await self._gate.admit(review, work)
        if self.store.latest(key) is not current:
            return None
        return await self._write(key, new, old, current, options, warnings)

    async def _replace_status(
        self, resource: Resource, current: Stored, change: Change, options: Options
    ) -> Outcome | None:
        """As `_replace`, for a change that is about the status only: the rest is not even decoded.

        None if there is more to look at, or the object was another one by the end of it.
        """
        if resource.status_conformer is None:
            return None
        old = current.lazy()
        before = {name: old[name] for name in ("metadata", "status") if name in old}
        after = status_only(resource, change(before), before)
        if after is None:
            return None
        own_updated(resource, after, before, options, "status", timestamp())
        new = old.successor(after)
        review = Review("UPDATE", resource, *current.key[1:], new, old, options, "status")
        admitted = await self._gate.admit(review, Work(resource, large=False))
        if self.store.latest(current.key) is not current:
            return None
        return await self._write(current.key, admitted, old, current, options, review.warnings)

    async def _create_by_update(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        change: Change,
        options: Options,
        subresource: str,
    ) -> Outcome:
        if not resource.strategy.creates_on_update or subresource:
            raise errors.not_found(resource.qualified, name)
        document = change({})
        if document.get("metadata", {}).get("uid"):
            raise errors.conflict(resource.qualified, name, "it is not there, so it does not have that uid")
        document.setdefault("metadata", {}).pop("resourceVersion", None)
        return await self.create(resource, namespace, document, options)

    async def _write(
        self, key: Key, new: Document, old: Document, current: Stored, options: Options, warnings: list[str]
    ) -> Outcome:
        removing = is_released(key, new)
        if removing or options.dry_run or new == old:
            if removing and not options.dry_run:
                last = await self.store.remove(key, new)
                return Outcome(last.tail, last.uid, removed=True, warnings=warnings)
            tail = current.tail if new == old else tail_of(new)
            return Outcome(tail, current.uid, removed=removing, warnings=warnings)
        stored = await self.store.put(key, new)
        return Outcome(stored.tail, stored.uid, warnings=warnings)

    async def connect(
        self, resource: Resource, namespace: str, name: str, subresource: str, options: Document
    ) -> None:
        """Asks whether somebody may connect to an object, by a subresource such as `exec`.

        Raises:
            StatusError: They may not; it has the warnings, too.
        """
        whole = {
            "kind": resource.subresources[subresource].kind,
            "apiVersion": resource.api_version,
            **options,
        }
        await self.ask(Review("CONNECT", resource, namespace, name, whole, None, Options(), subresource))

    async def ask(self, review: Review) -> None:
        """Asks whether there may be what is `apart` from objects: a Scale, a Binding, an Eviction.

        Raises:
            StatusError: It may not; it has the warnings, too.
        """
        await self._gate.ask(review)

    async def delete(self, resource: Resource, namespace: str, name: str, options: DeleteOptions) -> Outcome:
        """Deletes an object, or marks it as to be deleted once its finalizers are gone and its grace
        period is over.

        Raises:
            StatusError: 404 it is not there; 409 a precondition does not hold.
        """
        while True:
            current = self.latest(resource, namespace, name)
            check_preconditions(resource, current, options)
            old = current.document()
            review = Review("DELETE", resource, *current.key[1:], None, old, options)
            await self._gate.delete(review)
            if self.store.latest(current.key) is current:
                break
        new = current.document()
        changed = mark_deleted(resource, new, options)
        outcome = await self._finish_delete(resource, current, old, new, options, changed=changed)
        outcome.warnings += review.warnings
        return outcome

    async def _finish_delete(
        self,
        resource: Resource,
        current: Stored,
        old: Document,
        new: Document,
        options: DeleteOptions,
        *,
        changed: bool,
    ) -> Outcome:
        removing = is_released(current.key, new)
        if options.dry_run:
            return Outcome(tail_of(new), current.uid, removed=removing)
        if removing:
            if not resource.strategy.graceful:
                new = old  # nobody sees it being deleted
            last = await self.store.remove(current.key, new)
            return Outcome(last.tail, last.uid, removed=True)
        if not changed:
            return Outcome(current.tail, current.uid)
        stored = await self.store.put(current.key, new)
        return Outcome(stored.tail, stored.uid)

    async def finish_finalizers(
        self, resource: Resource, name: str, change: Change, options: Options
    ) -> Outcome:
        """Changes a namespace's own finalizers, by way of its finalize subresource; removes it when none
        is left.
        """
        current = self.latest(resource, "", name)
        old = current.document()
        new, warnings = conform(resource, change(old), options)
        settle_identity(resource, new, old, current.key)
        finished = {**old, "spec": new["spec"]}
        return await self._write(current.key, finished, old, current, options, warnings)


def _settle(
    resource: Resource, changed: Document, old: Document, key: Key, options: Options, subresource: str
) -> tuple[Document, list[str]]:
    """What an object becomes by a change, and warnings.

    Raises:
        StatusError: As for `conform` and `settle_identity`.
    """
    if subresource == "status":
        settled = status_only(resource, changed, old)
        if settled is not None:
            return settled, []
        changed = without_unchanged(changed, old)
    new, warnings = conform(resource, changed, options)
    settle_identity(resource, new, old, key)
    if subresource:
        return settle_part(subresource, resource, new, old), warnings
    settle_main(resource, new, old)
    return new, warnings
