"""What the executor at the front is at, in memory that it shares with the worker that watches it.

The executor writes and the worker reads; each value is one aligned word. So that nothing is lost or done
twice when the executor hangs or dies, it says before each step what it is about to do:

- `connection`: it is at this connection. Alone: bytes may have been read, or part of a response sent.
- `since`: a guest runs for the request in `request`, and nothing of a response has been sent.
"""

import mmap
import os
from typing import Final

__all__ = ["Board"]

_HEAD: Final = 64
_CAPACITY: Final = 16 * 1024
_SINCE, _USED, _CONNECTION, _LENGTH, _GENERATION, _PLACE, _COUNT = range(7)


class Board:
    """The memory. `buffer` takes requests as they come.

    Attributes:
        words: The values, by the number of each.
    """

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _HEAD + _CAPACITY)
        self._memory = memoryview(self._map)
        self.words = self._memory[:_HEAD].cast("Q")
        self.buffer = self._memory[_HEAD:]

    @staticmethod
    def create() -> int:
        """Return a descriptor of new memory for one."""
        descriptor = os.memfd_create("board", os.MFD_CLOEXEC)
        os.ftruncate(descriptor, _HEAD + _CAPACITY)
        return descriptor

    def close(self) -> None:
        """Let go of the memory."""
        for view in (self.words, self.buffer, self._memory):
            view.release()
        self._map.close()

    # The executor's side

    def turn_to(self, connection: int) -> None:
        """Be at a connection, 0 for none."""
        self.words[_CONNECTION] = connection

    def received(self, length: int) -> bytes:
        """Note that this much has come into `buffer`, and return it."""
        self.words[_LENGTH] = length
        return bytes(self.buffer[:length])

    def enter(self, since: int, used: int, generation: int, place: int) -> None:
        """A guest is about to run; see the properties."""
        words = self.words
        words[_COUNT] += 1
        words[_USED] = used
        words[_GENERATION] = generation
        words[_PLACE] = place
        words[_SINCE] = since

    def leave(self) -> None:
        """The guest has ended."""
        self.words[_SINCE] = 0

    # The worker's side

    @property
    def since(self) -> int:
        """When the guest began that runs now, in nanoseconds of the monotonic clock; 0 if none runs."""
        return self.words[_SINCE]

    @property
    def used(self) -> int:
        """Nanoseconds of processor time that the executor had used when the guest began."""
        return self.words[_USED]

    @property
    def connection(self) -> int:
        """The number of the connection that it is at; 0 for none."""
        return self.words[_CONNECTION]

    @property
    def request(self) -> bytes:
        """What the guest was run for."""
        return bytes(self.buffer[: self.words[_LENGTH]])

    @property
    def generation(self) -> int:
        """Which of the gateway's routes counted when it was run."""
        return self.words[_GENERATION]

    @property
    def place(self) -> int:
        """Which of these routes it is, by its place."""
        return self.words[_PLACE]

    @property
    def count(self) -> int:
        """How many guests have been run."""
        return self.words[_COUNT]
