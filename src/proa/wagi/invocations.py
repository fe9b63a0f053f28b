"""From a request and its handler to what an executor is told to run. Pure."""

from proa.wagi._messages import Invocation
from proa.wagi.handlers import Handler
from proa.wagi.protocol import Matched, Request, arguments, environment

__all__ = ["invocation", "program"]


def invocation(
    request: Request, matched: Matched, handler: Handler, hostname: str, body: bytes | None
) -> Invocation:
    """Say what a handler is run with.

    Args:
        request: The request.
        matched: The route, and
        handler: what it leads to.
        hostname: As of `protocol.environment`.
        body: The request's body; None if it comes through a descriptor.
    """
    variables = environment(request, matched, hostname=hostname, base=handler.environment)
    return Invocation(
        str(handler.module.path),
        handler.module.is_component,
        handler.entrypoint,
        [_encode(argument) for argument in arguments(request, handler.argv)],
        [_encode(name) for name in variables],
        [_encode(value) for value in variables.values()],
        body or b"",
        body is None,
        handler.limits.memory,
        tuple((str(mount.source), mount.target, mount.read_only) for mount in handler.mounts),
        handler.outbound,
    )


def program(invoked: Invocation) -> str:
    """Name what is run, for those who learn how long that takes."""
    return f"{invoked.module}:{invoked.entrypoint}"


def _encode(text: str) -> bytes:
    return text.encode("utf-8", "replace")
