"""Addresses for pods, each its own, out of the node's range."""

import ipaddress
from collections.abc import Iterator
from typing import Final

from proa.kubelet.errors import KubeletError

_RESERVED_AT_START: Final = 1
_RESERVED_AT_END: Final = 1


class PodAddresses:
    """Hands out addresses; one that was given back is used again only after all others.

    The default range lies in 127.0.0.0/8: on Linux all of it is the loopback interface, so that every pod
    has an address of its own with nothing to set up and no privilege needed.
    """

    def __init__(self, network: str) -> None:
        self._network = ipaddress.ip_network(network)
        self._taken: set[str] = set()
        self._candidates = self._forever()

    def reserve(self, address: str | None) -> bool:
        """Take the given address; False when it is not free or not in the range."""
        if not address or address in self._taken or ipaddress.ip_address(address) not in self._network:
            return False
        self._taken.add(address)
        return True

    def keep(self, address: str | None) -> bool:
        """Take an address that a pod has had, though the range may be another now; False without any."""
        if not address or address in self._taken:
            return False
        self._taken.add(address)
        return True

    def allocate(self) -> str:
        """Take any free address.

        Raises:
            KubeletError: All are taken.
        """
        if len(self._taken) >= self._usable():
            raise KubeletError(f"no address left in {self._network}: {len(self._taken)} pods have one")
        return next(address for address in self._candidates if self.reserve(address))

    def release(self, address: str) -> None:
        """Give an address back; one that is free already is fine."""
        self._taken.discard(address)

    def _usable(self) -> int:
        return self._network.num_addresses - _RESERVED_AT_START - _RESERVED_AT_END

    def _forever(self) -> Iterator[str]:
        while True:
            for number in range(_RESERVED_AT_START, self._network.num_addresses - _RESERVED_AT_END):
                yield str(self._network[number])
