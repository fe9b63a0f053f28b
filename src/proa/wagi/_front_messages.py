"""What a gateway and the executor at its front say to each other: orders there, words back.

Words come over the same socket as the results of invocations; orders go over that of invocations, told from
them by `ORDER` where those have a number.
"""

import msgspec

from proa.wagi._messages import NUMBER_BYTES, Result, encode

__all__ = [
    "ORDER",
    "Appoint",
    "Ask",
    "Avoid",
    "Awake",
    "Closed",
    "Done",
    "Drop",
    "HandOver",
    "Keep",
    "Order",
    "Record",
    "Release",
    "Released",
    "Rest",
    "Take",
    "Use",
    "Word",
    "decode_order",
    "decode_record",
    "decode_word",
    "encode_order",
]

ORDER = bytes(NUMBER_BYTES)
"""What stands before an order where an invocation has its number, which is never 0."""


class Appoint(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Serve connections from now on. Descriptors of a `Board` and of a pipe for `Record`s come along.

    Attributes:
        prefix: What ids of requests begin with.
        hostname: As of `protocol.environment`.
        healthz: Leave `/healthz` to the gateway.
        with_requests: Add requests as they came to records.
    """

    prefix: str
    hostname: str
    healthz: bool
    with_requests: bool


class Use(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Serve the handlers that are in the file that comes along."""

    generation: int


class Avoid(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Leave these programs, and no others any more, to the gateway."""

    programs: list[str]


class Take(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Serve a connection, whose descriptor comes along."""

    number: int
    remote: str


class Keep(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Answers `Ask`: go on."""


class Drop(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Answers `Ask`: others have all connections now; send the result of the run as of an invocation."""


class Release(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Let go of all connections; answered by `Released`."""


Order = Appoint | Use | Avoid | Take | Keep | Drop | Release


class HandOver(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A connection, with what has been read from it and is no request that is served here."""

    number: int
    data: bytes


class Done(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A connection, its request, and how the guest ended that was run for it: as the gateway has to tell.

    Attributes:
        data: The request.
        generation: Which of the gateway's routes counted, and
        place: the place of its route among them.
        seconds: How long the guest ran.
    """

    number: int
    data: bytes
    generation: int
    place: int
    seconds: float
    result: Result


class Rest(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A connection whose client does not take the rest of a response, perhaps its last, that fast."""

    number: int
    rest: bytes
    is_last: bool


class Closed(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A connection that its client has closed, or wanted closed."""

    number: int


class Ask(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A run took long: are the connections still mine? Also says whether its program is slow."""

    place: int
    is_slow: bool


class Awake(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A request has come after a time without any."""


class Released(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """All connections are let go of."""


Word = Result | HandOver | Done | Rest | Closed | Ask | Awake | Released


class Record(msgspec.Struct, array_like=True, frozen=True):
    """A request that has been answered at the front.

    Attributes:
        route: Its pattern.
        status: Of the response.
        seconds: How long it took.
        received: Bytes of the request's body.
        sent: Bytes of the response's.
        errors: What the guest printed to standard error.
        request_id: The id.
        request: What came over the wire, if wanted.
        remote: The client's address.
    """

    route: str
    status: int
    seconds: float
    received: int
    sent: int
    errors: bytes
    request_id: str
    request: bytes
    remote: str


def encode_order(order: Order) -> bytes:
    """Encode an order as the socket of an executor takes it."""
    return ORDER + encode(order)


decode_order = msgspec.msgpack.Decoder(Order).decode
decode_word = msgspec.msgpack.Decoder(Word).decode
decode_record = msgspec.msgpack.Decoder(Record).decode
