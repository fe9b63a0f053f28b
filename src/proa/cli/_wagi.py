"""`proa wagi`: WebAssembly modules as HTTP handlers; `proa wagi new` and `proa wagi dev` to write some."""

import argparse
import asyncio
import signal
import sys
from collections.abc import Sequence

from proa.app import App, http, logs, run, settings
from proa.wagi.settings import WagiSettings, split_address

SHORT = {"-c": "--config", "-b": "--bindle", "-l": "--listen", "-e": "--env"}


def main(arguments: Sequence[str]) -> int:
    """Run the command, or one of its sub-commands."""
    words = list(arguments)
    if words[:1] == ["new"]:
        from proa.wagi.authoring import new

        return new(words[1:])
    if words[:1] == ["dev"]:
        from proa.wagi.authoring import dev

        return dev(words[1:])
    return _serve(words)


def _serve(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="proa wagi",
        description="Serve WebAssembly modules over HTTP, an instance a request.",
        epilog="proa wagi new writes a handler, proa wagi dev rebuilds and reloads it on save.",
        allow_abbrev=False,
    )
    settings.add_arguments(parser, WagiSettings, prefix="PROA_WAGI_")
    parsed = parser.parse_args([SHORT.get(word, word) for word in words])
    chosen = settings.resolve(WagiSettings, parsed, prefix="PROA_WAGI_")
    logs.configure(level=chosen.log_level, format=chosen.log_format)
    return run(lambda app: _wagi(app, chosen), shutdown_timeout=25)


async def _wagi(app: App, chosen: WagiSettings) -> None:
    from proa.wagi.service import Service

    service = await app.start("wagi", Service.open(chosen))
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.request_reload)
    lines = [f"{len(service.handlers)} routes are served on {service.url}"]
    if chosen.status:
        from proa.wagi.status import application

        host, port = split_address(chosen.status)
        site = application(service, app.health, app.metrics)
        status = await app.start("status page", http.listen(site, host=host, port=port, name="status page"))
        lines.append(f"The status page is {status.url}")
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    await app.run_until_stopped()
