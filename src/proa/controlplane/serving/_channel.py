"""The way from changes to watchers: each event is looked at, encoded and kept once for all who see the same.

What waits for watchers is a chain. Each of them holds the link that it has read up to, so a link lives
until the slowest has passed it, and costs the same for one watcher and for thousands. Who falls too far
behind is cut off (it lists again), never buffered for without end.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from proa.controlplane._errors import StatusError
from proa.controlplane._json import encode
from proa.controlplane.storage import Event

from ._view import Frames, View, frame

QUEUE_BYTES = 16 * 1024 * 1024
"""How far a watcher may be behind."""
WRITE_BYTES = 64 * 1024
"""How much is written at once, but for what one event has more, as long as there are few watchers."""
LEAST_BYTES = 16 * 1024
"""How much is written at once to very many. On its way to a client it is held several times, encrypted."""
WRITES_BYTES = 16 * 1024 * 1024
"""How much is written to all watchers at once."""
_LOOKS = 16
"""How often those who are behind are looked for, while as much is sent as one may be behind."""


class _Link:
    """A frame, and where in the stream of frames it ends."""

    __slots__ = ("data", "end", "next")

    def __init__(self, data: bytes, end: int) -> None:
        self.data = data
        self.end = end
        self.next: _Link | None = None


class Crowd:
    """All who are watching, whatever they see."""

    def __init__(self) -> None:
        self.count = 0

    @property
    def piece(self) -> int:
        """How much is written to one of them at once: the less, the more there are."""
        return max(LEAST_BYTES, min(WRITE_BYTES, WRITES_BYTES // max(1, self.count)))


class Channel:
    """What all watchers with one view are sent."""

    def __init__(self, view: View, crowd: Crowd) -> None:
        self.view = view
        self.crowd = crowd
        self.watchers: set[Watcher] = set()
        self.last = _Link(b"", 0)
        self._idle: set[Watcher] = set()
        self._looked = 0
        self._taken: tuple[int, bytes, _Link] | None = None

    def publish(self, event: Event, frames: Frames) -> None:
        """Sends an event, if the view shows it."""
        encoded = self.view.frame(event, frames)
        if encoded is not None:
            self.send(encoded)

    def send(self, encoded: bytes) -> None:
        """Sends a frame to all who are watching now."""
        link = _Link(encoded, self.last.end + len(encoded))
        self.last.next = self.last = link
        if self._idle:
            for watcher in self._idle:
                watcher.wake()
            self._idle.clear()
        if link.end - self._looked > QUEUE_BYTES // _LOOKS:
            self._cut_off_slow()

    def _cut_off_slow(self) -> None:
        self._looked = self.last.end
        for watcher in [one for one in self.watchers if one.behind > QUEUE_BYTES]:
            watcher.cut_off()

    def take(self, at: _Link) -> tuple[bytes, _Link]:
        """What follows a link, as much as is written at once, and the last link of that.

        Watchers who keep up read the same pieces one after the other: the last piece is kept for that.
        """
        if self._taken is None or self._taken[0] != at.end:
            link, pieces, until = at, [], at.end + self.crowd.piece
            while link.next is not None and link.end < until:
                link = link.next
                pieces.append(link.data)
            self._taken = (at.end, b"".join(pieces), link)
        _, data, link = self._taken
        return data, link

    def rest(self, watcher: Watcher) -> None:
        """Says that a watcher has read everything, and waits."""
        self._idle.add(watcher)
        if len(self._idle) == len(self.watchers):
            self._taken = None

    def join(self, watcher: Watcher) -> None:
        """Sends to a watcher, too, from now on."""
        self.watchers.add(watcher)
        self.crowd.count += 1

    def leave(self, watcher: Watcher) -> None:
        """Forgets a watcher, if it has not been forgotten yet."""
        if watcher in self.watchers:
            self.watchers.remove(watcher)
            self.crowd.count -= 1
        self._idle.discard(watcher)


class Watcher:
    """One client, and how far it has read."""

    def __init__(self, channel: Channel, request: web.BaseRequest, *, bookmarks: bool) -> None:
        self._channel = channel
        self._at = channel.last
        self._request = request
        self._bookmarks = bookmarks
        self._mark: bytes | None = None
        self._end: int | None = None
        self._farewell: bytes | None = None
        self._waiter: asyncio.Future[None] | None = None
        channel.join(self)

    @property
    def view(self) -> View:
        """What it sees."""
        return self._channel.view

    @property
    def behind(self) -> int:
        """The bytes that wait for it."""
        return self._channel.last.end - self._at.end

    def refuse(self, error: StatusError) -> None:
        """Ends the stream with an error."""
        if self._end is None:
            self._farewell = frame("ERROR", encode(error.to_document()))
            self.end()

    def cut_off(self) -> None:
        """Breaks the connection; what waits is not sent."""
        self._at, self._mark, self._farewell = _Link(b"", self._channel.last.end), None, None
        self.end()
        self.leave()
        if self._request.transport is not None:
            self._request.transport.abort()

    def mark(self, revision: int) -> None:
        """Sends a bookmark, if the client wants them and is not behind anyway."""
        if self._bookmarks and not self.behind and self._end is None:
            self._mark = self.view.bookmark(revision)
            self.wake()

    def end(self) -> None:
        """Lets the stream end once what waits is sent."""
        if self._end is None:
            self._end = self._channel.last.end
        self.wake()

    def leave(self) -> None:
        """Stops watching."""
        self._channel.leave(self)

    def wake(self) -> None:
        """Lets it look again for what there is to send."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> bytes | None:
        """What waits, as much as is written at once, as soon as there is something; None at the end."""
        while True:
            if self._mark is not None:
                data, self._mark = self._mark, None
                return data
            if self._end is not None and self._at.end >= self._end:
                farewell, self._farewell = self._farewell, None
                return farewell
            if self._at.next is not None:
                data, self._at = self._channel.take(self._at)
                return data
            self._channel.rest(self)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
