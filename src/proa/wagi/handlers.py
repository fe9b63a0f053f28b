"""A handler ready to be served: a compiled module with all that the configuration says of its route."""

from pathlib import Path
from typing import Any

import msgspec

from proa.wasm import CompiledModule, Mount, Outbound

__all__ = ["Handler", "Limits", "decode_handlers", "encode_handlers"]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may use.

    Attributes:
        seconds: The time for one request; more is answered 504. None is no limit.
        memory: Bytes of memory; more is answered 503. None is what 32 bits can address.
        concurrency: Requests at once in each worker process; others wait.
        body: Bytes of a request's body; more is answered 413. None is no limit.
    """

    seconds: float | None = 60.0
    memory: int | None = 512 * 1024 * 1024
    concurrency: int = 32
    body: int | None = 64 * 1024 * 1024


class Handler(msgspec.Struct, frozen=True, kw_only=True):
    """One route.

    Attributes:
        route: The pattern.
        module: What is run.
        entrypoint: The export that is called; of a component it is always `wasi:cli/run`.
        argv: A template for arguments.
        environment: Variables beside the protocol's.
        mounts: Directories that it sees.
        outbound: Where the guest may send requests; None is nowhere.
        limits: What it may use.
    """

    route: str
    module: CompiledModule
    entrypoint: str = "_start"
    argv: str | None = None
    environment: dict[str, str] = {}
    mounts: tuple[Mount, ...] = ()
    outbound: Outbound | None = None
    limits: Limits = Limits()


def encode_handlers(handlers: list[Handler]) -> bytes:
    """Encode handlers for another process."""
    return msgspec.json.encode(handlers, enc_hook=str)


def decode_handlers(content: bytes | msgspec.Raw) -> list[Handler]:
    """Decode what `encode_handlers` made."""
    decoded: Any = _decoder.decode(content)
    handlers: list[Handler] = decoded
    return handlers


_decoder = msgspec.json.Decoder(list[Handler], dec_hook=lambda _, value: Path(value))
