"""The twelve-factor kit that every Proa process stands on, and that your own services can.

Parts, each usable alone:

- `proa.app.settings`: typed settings from flags, environment, file and defaults, with all errors at once.
- `proa.app.logs`: structured logs and timed, nested steps, written without blocking the event loop.
- `proa.app.lifecycle`: `run` and `App`: joined start-up, ordered and bounded shutdown, exit codes.
- `proa.app.http`: an aiohttp server with a known address, plus health and metrics endpoints.
- `proa.app.files`, `proa.app.threads`: files that are whole or not there; blocking work beside the loop, and
  work that several callers wait for together.
- `proa.app.loop`, `proa.app.bulk`: the event loop, and large bodies between sockets and files.
- `proa.app.health`, `proa.app.metrics`, `proa.app.backoff`, `proa.app.errors`, `proa.app.garbage`: one small
  concept each.
- `proa.app.testing`: virtual time and captured logs for tests.

Start reading at `proa.app.lifecycle`. Names are loaded when they are first used, so importing this package
costs next to nothing.

A whole service::

    async def main(app: App) -> None:
        site = web.Application()
        http.add_operations(site, app.health, app.metrics)
        server = await app.start("http", http.listen(site, port=8080))
        logs.get_logger(__name__).info("ready", url=server.url)
        await app.run_until_stopped()

    logs.configure()
    sys.exit(run(main))
"""

from typing import TYPE_CHECKING

from proa._lazy import lazy

if TYPE_CHECKING:
    from proa.app.backoff import Backoff, BackoffTimer
    from proa.app.errors import ProaError
    from proa.app.health import Health
    from proa.app.lifecycle import App, run
    from proa.app.metrics import Metrics
    from proa.app.secret import Secret
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            "backoff": ("Backoff", "BackoffTimer"),
            "errors": ("ProaError",),
            "health": ("Health",),
            "lifecycle": ("App", "run"),
            "metrics": ("Metrics",),
            "secret": ("Secret",),
        },
    )

__all__ = ["App", "Backoff", "BackoffTimer", "Health", "Metrics", "ProaError", "Secret", "run"]
