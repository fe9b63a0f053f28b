"""WAGI 0.8: WebAssembly modules as HTTP handlers, one fresh instance a request, as CGI once ran programs.

A handler reads the request's body from standard input, everything else from its environment and arguments,
and prints headers, a blank line and the response's body. The whole way of a request:

- `proa.wagi.protocol`: the protocol as functions on values: what a handler is given, what its output means.
- `proa.wagi.routing`: which handler a path belongs to.
- `proa.wagi.config`: `modules.toml`, with every problem by its line.
- `proa.wagi.sources`, `proa.wagi.bindles`: from paths, `file:`, `oci:` and `bindle:` to files with checked
  digests.
- `proa.wagi.executors`: the processes that run handlers, and what becomes of one that hangs.
- `proa.wagi.connections`: who serves a connection: an executor by itself, while its requests are plain.
- `proa.wagi.gateway`: the HTTP server for all other requests: limits, streaming, status codes.
- `proa.wagi.service`: many worker processes, reload, metrics, the status page; `proa wagi` is this.
- `proa.wagi.pods`: the same for one module, as what a pod's sandbox does.

Start reading at `proa.wagi.connections`; to serve a module from a program of your own use `serve_module`.
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.wagi.config import Config, Module, load_config
    from proa.wagi.errors import ConfigError, HandlerError, SourceError, WagiError
    from proa.wagi.serving import serve, serve_module
    from proa.wagi.sources import Sources
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "config": ("Config", "Module", "load_config"),
            "errors": ("ConfigError", "HandlerError", "SourceError", "WagiError"),
            "serving": ("serve", "serve_module"),
            "sources": ("Sources",),
        },
    )

__all__ = [
    "Config",
    "ConfigError",
    "HandlerError",
    "Module",
    "SourceError",
    "Sources",
    "WagiError",
    "load_config",
    "serve",
    "serve_module",
]
