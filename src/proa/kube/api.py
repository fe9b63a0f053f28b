"""`Api[K]`: every verb on one type of object."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Generic, TypeVar, overload

import msgspec

from proa.kube.client import Client
from proa.kube.codec import decode
from proa.kube.core import request as requests
from proa.kube.core.listing import Page, read_page
from proa.kube.core.patches import Patch
from proa.kube.core.request import LabelSelection, Place, Propagation, Request, Selection
from proa.kube.core.watching import AnyEvent, EventDecoder, Lines
from proa.kube.errors import NotFoundError
from proa.kube.models import Cluster, Namespaced, Resource
from proa.kube.models.meta_v1 import Status

__all__ = ["Api", "Page"]

K = TypeVar("K", bound=Resource)
N = TypeVar("N", bound=Namespaced)
C = TypeVar("C", bound=Cluster)

WATCH_TIMEOUT = 290
# What a watch may be silent beyond its timeout: the server ends it by itself before that.
WATCH_GRACE = 5


class Api(Generic[K]):
    """The objects of one type: in one namespace, in all namespaces, or in the cluster.

    Giving a namespace for a cluster-scoped type is a type error. An Api over all namespaces lists and watches
    all of them; verbs on one object then need `namespace=`.

    Every verb may raise TransportError, ApiError and DecodeError, and InvalidRequestError before anything is
    sent.
    """

    @overload
    def __init__(self: Api[N], client: Client, type_: type[N], *, namespace: str | None = None) -> None: ...
    @overload
    def __init__(self: Api[C], client: Client, type_: type[C]) -> None: ...
    def __init__(self, client: Client, type_: type[Any], *, namespace: str | None = None) -> None:
        """Bind a type to a client; nothing is sent.

        Args:
            client: what carries the requests.
            type_: a kind of `proa.kube.models`.
            namespace: where the objects live; None means all namespaces.
        """
        self.client = client
        self.type: type[K] = type_
        self.namespace = namespace
        self._place = Place(type_.resource, namespace)
        self._place.collection()

    def __repr__(self) -> str:
        inside = f" in {self.namespace}" if self.namespace else ""
        return f"<Api of {self.type.resource.qualified_name}{inside}>"

    async def get(self, name: str, *, namespace: str | None = None) -> K:
        """Return an object; raises NotFoundError if there is none."""
        return await self._send(requests.get(self._in(namespace), name))

    async def get_opt(self, name: str, *, namespace: str | None = None) -> K | None:
        """Return an object, or None if there is none."""
        try:
            return await self.get(name, namespace=namespace)
        except NotFoundError:
            return None

    async def list(
        self,
        *,
        label_selector: LabelSelection | None = None,
        field_selector: str | None = None,
        page_size: int = 500,
    ) -> AsyncGenerator[K, None]:
        """Yield all objects, page by page, of one consistent state.

        Raises:
            GoneError: reading took so long that the server forgot that state (5 minutes in etcd's default).
        """
        token = None
        while True:
            page = await self.list_page(
                label_selector=label_selector, field_selector=field_selector, limit=page_size, continue_=token
            )
            for item in page.items:
                yield item
            token = page.continue_
            if not token:
                return

    async def list_page(
        self,
        *,
        label_selector: LabelSelection | None = None,
        field_selector: str | None = None,
        limit: int | None = None,
        continue_: str | None = None,
        resource_version: str | None = None,
    ) -> Page[K]:
        """Return one page.

        Args:
            label_selector: text such as `app=web`, or a Selector or LabelSelector.
            field_selector: text such as `spec.nodeName=node-1`.
            limit: at most how many objects; None asks for all in one page.
            continue_: the token of the page before.
            resource_version: at least this version; `"0"` allows whatever the server has cached.
        """
        selection = Selection(label_selector=label_selector, field_selector=field_selector)
        request = requests.list_page(
            self._place, selection, limit=limit, continue_=continue_, resource_version=resource_version
        )
        return read_page((await self.client.request(request)).body, self.type)

    async def create(self, obj: K, *, namespace: str | None = None) -> K:
        """Create an object and return it as stored; raises AlreadyExistsError if the name is taken."""
        return await self._send(requests.create(self._home(obj, namespace), obj))

    async def replace(self, obj: K, *, namespace: str | None = None) -> K:
        """Replace an object and return it as stored.

        With a resource version in its metadata, raises ConflictError if it has changed since; without one,
        the last writer wins.
        """
        return await self._send(requests.replace(self._home(obj, namespace), obj))

    async def replace_status(self, obj: K, *, namespace: str | None = None) -> K:
        """Replace only the status of an object; see `replace`."""
        return await self._send(requests.replace(self._home(obj, namespace), obj, "status"))

    async def patch(
        self, name: str, patch: Patch, *, subresource: str | None = None, namespace: str | None = None
    ) -> K:
        """Change part of an object and return it as stored.

        Args:
            name: the object's name.
            patch: `Merge`, `Strategic`, `Json` or `Apply`; the last also creates the object.
            subresource: such as `status` or `resize`.
            namespace: for an Api over all namespaces.
        """
        return await self._send(requests.patch(self._in(namespace), name, patch, subresource))

    async def patch_status(self, name: str, patch: Patch, *, namespace: str | None = None) -> K:
        """Change part of the status of an object; see `patch`."""
        return await self.patch(name, patch, subresource="status", namespace=namespace)

    async def delete(
        self,
        name: str,
        *,
        grace_period: int | None = None,
        propagation: Propagation | None = None,
        uid: str | None = None,
        namespace: str | None = None,
    ) -> K | Status:
        """Delete an object: return it if it goes later (grace period, finalizers), else a Status.

        Args:
            name: the object's name.
            grace_period: seconds until it is killed; 0 removes it from the server at once.
            propagation: what becomes of the objects that it owns.
            uid: delete only the object that has this uid; raises ConflictError if it is another by now.
            namespace: for an Api over all namespaces.
        """
        request = requests.delete(
            self._in(namespace), name, grace_period=grace_period, propagation=propagation, uid=uid
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
        namespace: str | None = None,
    ) -> None:
        """Delete all selected objects of one namespace, or of a cluster-scoped type."""
        selection = Selection(label_selector=label_selector, field_selector=field_selector)
        request = requests.delete_collection(
            self._in(namespace), selection, grace_period=grace_period, propagation=propagation
        )
        await self.client.request(request)

    async def create_subresource(
        self, name: str, subresource: str, body: object, *, namespace: str | None = None
    ) -> bytes:
        """Post to a subresource (`binding`, `eviction`, `token`); return the answer's JSON for `decode`."""
        request = requests.create_subresource(self._in(namespace), name, subresource, body)
        return (await self.client.request(request)).body

    async def watch(
        self,
        resource_version: str,
        *,
        label_selector: LabelSelection | None = None,
        field_selector: str | None = None,
        timeout: int = WATCH_TIMEOUT,
    ) -> AsyncGenerator[AnyEvent[K], None]:
        """Yield what changes after a resource version, until the server ends the watch.

        A `WatchEvent` carries an object, a `Bookmark` only a version to resume from. This is one watch,
        without
        recovery: `proa.runtime.watcher` goes on for ever. Close the iterator (`contextlib.aclosing`) if you
        leave the loop early.

        Args:
            resource_version: where to begin, from a list or an event; empty begins with what there is.
            label_selector: as in `list_page`.
            field_selector: as in `list_page`.
            timeout: seconds after which the server is to end the watch.

        Raises:
            GoneError: the version is too old, now or later; list anew.
            RequestTimeoutError: the connection was silent for 5 seconds more than `timeout`.
            TransportError: the connection broke; resume from the last version seen.
        """
        selection = Selection(label_selector=label_selector, field_selector=field_selector)
        request = requests.watch(self._place, selection, resource_version, timeout)
        events = EventDecoder(self.type)
        async with self.client.stream(request, silence=timeout + WATCH_GRACE) as stream:
            async for chunk in stream.chunks():
                for event in events.feed(chunk):
                    yield event
            events.finish()

    async def logs(
        self,
        name: str,
        *,
        container: str | None = None,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
        since_seconds: int | None = None,
        namespace: str | None = None,
    ) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a container's log, without their line ends, as they come.

        A container may print anything: lines are bytes. Close the iterator (`contextlib.aclosing`) if you
        leave the loop early.

        Args:
            name: the pod's name.
            container: which container; may be left out where the pod has one.
            follow: go on until the container ends.
            tail_lines: only the last so many lines.
            previous: of the container's run before this one.
            timestamps: begin each line with its time (RFC 3339).
            since_seconds: only lines not older than that.
            namespace: for an Api over all namespaces.
        """
        request = requests.logs(
            self._in(namespace),
            name,
            container=container,
            follow=follow,
            tail_lines=tail_lines,
            previous=previous,
            timestamps=timestamps,
            since_seconds=since_seconds,
        )
        lines = Lines()
        silence = None if follow else self.client.timeouts.total
        async with self.client.stream(request, silence=silence) as stream:
            async for chunk in stream.chunks():
                for line in lines.feed(chunk):
                    yield line
            if rest := lines.take():
                yield rest

    async def _send(self, request: Request) -> K:
        return decode((await self.client.request(request)).body, self.type)

    def _in(self, namespace: str | None) -> Place:
        return self._place if namespace is None else Place(self.type.resource, namespace)

    def _home(self, obj: K, namespace: str | None) -> Place:
        """Return where an object belongs: as asked for, else where the Api is, else where it says itself."""
        return self._in(namespace or self.namespace or obj.metadata.namespace)


class _Kind(msgspec.Struct):
    kind: str = ""
