"""The verbs that read: get, list, watch."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from proa.kube._bound import Bound, K
from proa.kube.core import request as requests
from proa.kube.core.listing import Page, page_steps
from proa.kube.core.request import LabelSelection, Selection
from proa.kube.core.watching import AnyEvent, EventDecoder
from proa.kube.errors import NotFoundError

WATCH_TIMEOUT = 290
# What a watch may be silent beyond its timeout: the server ends it by itself before that.
WATCH_GRACE = 5


class Reading(Bound[K]):
    """Verbs that leave the server as it is."""

    async def get(self, name: str, *, namespace: str | None = None, resource_version: str | None = None) -> K:
        """Return an object; raises NotFoundError if there is none.

        `resource_version="0"` allows whatever the server has cached, however old.
        """
        request = requests.get(
            self._in(namespace), name, resource_version=resource_version, accept=self._accept
        )
        return await self._send(request)

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

        Objects that are not what their type says are passed over; see `Client.on_undecodable`.

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
        request = requests.list_page(
            self._place,
            Selection(label_selector=label_selector, field_selector=field_selector),
            limit=limit,
            continue_=continue_,
            resource_version=resource_version,
            accept=self._accept_list,
        )
        body = (await self.client.request(request)).body
        import asyncio

        for page in page_steps(body, self.type, self.client.on_undecodable):
            if page is not None:
                return page
            await asyncio.sleep(0)
        raise AssertionError  # the page is what the steps end with

    async def watch(
        self,
        resource_version: str,
        *,
        label_selector: LabelSelection | None = None,
        field_selector: str | None = None,
        timeout: int = WATCH_TIMEOUT,
        initial_events: bool = False,
    ) -> AsyncGenerator[AnyEvent[K], None]:
        """Yield what changes after a resource version, until the server ends the watch.

        A `WatchEvent` carries an object, a `Bookmark` only a version to resume from. This is one watch,
        without recovery: `proa.runtime.watcher` goes on for ever. Close the iterator (`contextlib.aclosing`)
        if you leave the loop early.

        An object that is not what its type says is passed over (see `Client.on_undecodable`): a bookmark
        stands for it, so that resuming goes on after it.

        Args:
            resource_version: where to begin, from a list or an event; empty begins with what there is.
            label_selector: as in `list_page`.
            field_selector: as in `list_page`.
            timeout: seconds after which the server is to end the watch; at most 294.
            initial_events: begin with all there is, ended by a bookmark with `initial_events_end`
                (KEP-3157); for this no list is needed.

        Raises:
            GoneError: the version is too old, now or later; list anew.
            RequestTimeoutError: the connection was silent for 5 seconds more than `timeout`.
            TransportError: the connection broke; resume from the last version seen.
        """
        request = requests.watch(
            self._place,
            Selection(label_selector=label_selector, field_selector=field_selector),
            resource_version,
            timeout,
            initial_events=initial_events,
            accept=self._accept,
        )
        events = EventDecoder(self.type, self.client.on_undecodable)
        async with self.client.stream(request, silence=timeout + WATCH_GRACE) as stream:
            async for chunk in stream.chunks():
                for event in events.feed(chunk):
                    yield event
            events.finish()
