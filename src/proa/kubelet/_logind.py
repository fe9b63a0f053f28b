"""Hearing from systemd's logind that the machine is to go down, and holding that up until pods have ended."""

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kubelet._dbus import MEMBER, SIGNAL, Bus, DBusError

_log = logs.get_logger(__name__)
_SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")
_LOGIND: Final = "org.freedesktop.login1"
_MANAGER: Final = "org.freedesktop.login1.Manager"
_OBJECT: Final = "/org/freedesktop/login1"
_AGAIN: Final = Backoff(initial=1.0, maximum=300.0)


async def watch(
    seconds: float,
    prepare: Callable[[], Awaitable[None]],
    go_on: Callable[[], Awaitable[None]],
    address: Path = _SYSTEM_BUS,
) -> None:
    """Hold shutdowns of the machine up until what must be done before them is done; for ever.

    Without logind nothing happens: the kubelet then hears of a shutdown when it is ended itself.

    Args:
        seconds: How long `prepare` may take.
        prepare: Awaited when the machine is about to go down.
        go_on: Awaited when it does not after all.
        address: Where the bus is.
    """
    backoff, told = _AGAIN.start(), False
    while await asyncio.to_thread(address.exists):
        try:
            async with Bus.open(address) as bus:
                await _follow(bus, seconds, prepare, go_on)
        except (DBusError, OSError, TimeoutError) as error:
            if not told:
                _log.warning("cannot hear of shutdowns from logind", error=str(error))
            told = True
        await asyncio.sleep(backoff.next())


async def _follow(
    bus: Bus, seconds: float, prepare: Callable[[], Awaitable[None]], go_on: Callable[[], Awaitable[None]]
) -> None:
    await bus.match(f"type='signal',interface='{_MANAGER}',member='PrepareForShutdown'")
    await _warn_of_haste(bus, seconds)
    async with contextlib.aclosing(_shutdowns(bus)) as shutdowns:
        while True:
            async with _held_up(bus):
                while not await anext(shutdowns):
                    pass
                _log.info("the machine is about to go down")
                await prepare()
            while await anext(shutdowns):
                pass
            await go_on()


async def _shutdowns(bus: Bus) -> AsyncGenerator[bool, None]:
    """Yield, each time that logind says so, whether the machine is about to go down."""
    async for message in bus.messages():
        if message.kind == SIGNAL and message.header.get(MEMBER) == "PrepareForShutdown" and message.body:
            yield bool(message.body[0])


@contextlib.asynccontextmanager
async def _held_up(bus: Bus) -> AsyncIterator[None]:
    words = ("shutdown", "proa kubelet", "Pods are to be ended in good order", "delay")
    answer = await bus.call(_LOGIND, _OBJECT, _MANAGER, "Inhibit", *words)
    try:
        yield
    finally:
        for descriptor in answer.descriptors:
            os.close(descriptor)


async def _warn_of_haste(bus: Bus, seconds: float) -> None:
    properties = "org.freedesktop.DBus.Properties"
    answer = await bus.call(_LOGIND, _OBJECT, properties, "Get", _MANAGER, "InhibitDelayMaxUSec")
    granted = int(str(answer.body[0])) / 1_000_000
    if granted < seconds:
        _log.warning(
            "logind waits for less time than pods have: set InhibitDelayMaxSec in logind.conf",
            granted=granted,
            wanted=seconds,
        )
