"""The verbs that write: create, replace, patch, delete, and get-modify-commit."""

from __future__ import annotations

from typing import Unpack

import msgspec

from proa.kube._bound import Bound, K
from proa.kube.codec import decode
from proa.kube.core import writing
from proa.kube.core.patches import Patch
from proa.kube.core.request import LabelSelection, Propagation, Selection
from proa.kube.core.writing import WriteOptions
from proa.kube.models.meta_v1 import Status


class Writing(Bound[K]):
    """Verbs that change objects.

    Each takes besides (see `WriteOptions`): `dry_run`, to store nothing; `manager`, who the changed fields
    belong to; `field_validation`, `Strict` to have unknown fields refused.
    """

    async def create(self, obj: K, *, namespace: str | None = None, **options: Unpack[WriteOptions]) -> K:
        """Create an object and return it as stored; raises AlreadyExistsError if the name is taken."""
        return await self._send(writing.create(self._home(obj, namespace), obj, options))

    async def replace(self, obj: K, *, namespace: str | None = None, **options: Unpack[WriteOptions]) -> K:
        """Replace an object and return it as stored.

        With a resource version in its metadata, raises ConflictError if it has changed since; without one,
        the last writer wins.
        """
        return await self._send(writing.replace(self._home(obj, namespace), obj, None, options))

    async def replace_status(
        self, obj: K, *, namespace: str | None = None, **options: Unpack[WriteOptions]
    ) -> K:
        """Replace only the status of an object; see `replace`."""
        return await self._send(writing.replace(self._home(obj, namespace), obj, "status", options))

    async def patch(
        self,
        name: str,
        patch: Patch,
        *,
        subresource: str | None = None,
        namespace: str | None = None,
        **options: Unpack[WriteOptions],
    ) -> K:
        """Change part of an object and return it as stored.

        Args:
            name: the object's name.
            patch: `Merge`, `Strategic`, `Json` or `Apply`; the last also creates the object.
            subresource: such as `status` or `resize`.
            namespace: for an Api over all namespaces.
            options: see `WriteOptions`.

        Raises:
            ConflictError: for `Apply`: another manager owns a field and has another value for it.
        """
        place = self._in(namespace)
        return await self._send(writing.patch(place, name, patch, subresource, options, accept=self._accept))

    async def patch_status(
        self, name: str, patch: Patch, *, namespace: str | None = None, **options: Unpack[WriteOptions]
    ) -> K:
        """Change part of the status of an object; see `patch`."""
        return await self.patch(name, patch, subresource="status", namespace=namespace, **options)

    async def delete(
        self,
        name: str,
        *,
        grace_period: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
        resource_version: str | None = None,
        dry_run: bool = False,
        namespace: str | None = None,
    ) -> K | Status:
        """Delete an object: return it if it goes later (grace period, finalizers), else a Status.

        Args:
            name: the object's name.
            grace_period: seconds until it is killed; 0 removes it from the server at once.
            propagation: what becomes of the objects that it owns.
            uid: delete only the object that has this uid; raises ConflictError if it is another by now.
            resource_version: delete it only as it was at this version; raises ConflictError otherwise.
            dry_run: check all, delete nothing.
            namespace: for an Api over all namespaces.
        """
        request = writing.delete(
            self._in(namespace),
            name,
            grace_period=grace_period,
            propagation=propagation,
            uid=uid,
            resource_version=resource_version,
            dry_run=dry_run,
            accept=self._accept,
        )
        body = (await self.client.request(request)).body
        return decode(body, Status) if decode(body, _Kind).kind == "Status" else decode(body, self.type)

    async def delete_collection(
        self,
        *,
        label_selector: LabelSelection | None = None,
        field_selector: str | None = None,
        grace_period: int | None = None,
        propagation: Propagation | None = None,
        dry_run: bool = False,
        namespace: str | None = None,
    ) -> None:
        """Delete all selected objects of one namespace, or of a cluster-scoped type."""
        request = writing.delete_collection(
            self._in(namespace),
            Selection(label_selector=label_selector, field_selector=field_selector),
            grace_period=grace_period,
            propagation=propagation,
            dry_run=dry_run,
        )
        await self.client.request(request)


class _Kind(msgspec.Struct):
    kind: str = ""
