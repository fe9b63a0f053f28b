"""WAGI 0.8: WebAssembly modules as HTTP handlers, one fresh instance a request, as CGI once ran programs.

A handler reads the request's body from standard input, everything else from its environment and arguments,
and prints headers, a blank line and the response's body. So far there are the pure parts:

- `proa.wagi.protocol`: the protocol as functions on values: what a handler is given, what its output means.
- `proa.wagi.routing`: which handler a path belongs to.
- `proa.wagi.errors`: what can go wrong.

Start reading at `proa.wagi.protocol`. Nothing here serves modules yet.
"""

from proa.wagi.errors import ConfigError, HandlerError, SourceError, WagiError

__all__ = ["ConfigError", "HandlerError", "SourceError", "WagiError"]
