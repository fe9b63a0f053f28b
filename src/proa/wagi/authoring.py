"""`proa wagi new`, which writes a handler, and `proa wagi dev`, which rebuilds and reloads it on save.

The command that builds a handler stands in its `modules.toml`, as `build` under `[dev]`: WAGI ignores it.
"""

import argparse
import asyncio
import contextlib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from proa.app import App, logs, run
from proa.wagi.errors import WagiError
from proa.wagi.service import Service
from proa.wagi.settings import WagiSettings
from proa.wagi.templates import TEMPLATES

__all__ = ["AuthoringError", "dev", "new"]

log = logs.get_logger(__name__)

_CONFIG: Final = "modules.toml"
_POLL_SECONDS: Final = 0.3
_IGNORED: Final = frozenset({"target", "node_modules", "__pycache__", "zig-cache", "zig-out"})
# Whatever else changes (a log, the build's own results) must not start a build: it would never end.
_SOURCES: Final = re.compile(r"\.(c|cc|cpp|go|h|hpp|js|json|mod|py|rs|s|sum|toml|ts|wat|wit|yaml|zig|zon)")

_Stamps = frozenset[tuple[str, int]]
"""The source files, and when each was last written."""


class AuthoringError(WagiError):
    """A handler cannot be written or built; the message says why and what to do."""

    exit_code = 2


def new(arguments: Sequence[str]) -> int:
    """Run `proa wagi new`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="proa wagi new", description="Write a handler and the command that builds it."
    )
    parser.add_argument("directory", type=Path, help="where; it must be new or empty")
    parser.add_argument("--language", choices=sorted(TEMPLATES), default="c", help="(default: c)")
    words = parser.parse_args(arguments)
    template = TEMPLATES[words.language]
    write_handler(words.directory, words.language)
    sys.stdout.write(
        f"Wrote a handler in {words.directory}. It needs {template.needs}.\n"
        f"  build it:  cd {words.directory} && {template.build}\n"
        f"  serve it:  proa wagi --config {_CONFIG}\n"
        f"  or both, and again on every save:  proa wagi dev {words.directory}\n"
    )
    return 0


def write_handler(directory: Path, language: str) -> None:
    """Write a new handler.

    Raises:
        AuthoringError: The directory has something in it, or cannot be written.
    """
    template = TEMPLATES[language]
    config = (
        f'# Built by: {template.build}\n[dev]\nbuild = "{template.build}"\n\n'
        f'[[module]]\nroute = "/..."\nmodule = "{template.module}"\n'
    )
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise AuthoringError(f"{directory} is not empty: choose a new directory")
        for name, content in {**template.files, _CONFIG: config}.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise AuthoringError(f"cannot write to {directory}: {error.strerror}") from None


def dev(arguments: Sequence[str]) -> int:
    """Run `proa wagi dev`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="proa wagi dev",
        description="Build a handler, serve it, and do both again whenever a source file is saved.",
    )
    parser.add_argument("directory", type=Path, nargs="?", default=Path())
    parser.add_argument("--listen", default="127.0.0.1:3000", help="address and port")
    words = parser.parse_args(arguments)
    try:
        os.chdir(words.directory)
    except OSError as error:
        raise AuthoringError(f"cannot work in {words.directory}: {error.strerror}") from None
    build = read_build(Path(_CONFIG))
    logs.configure()
    return run(lambda app: _dev(app, words.listen, build), shutdown_timeout=25)


def read_build(config: Path) -> str:
    """Return the command that builds a handler.

    Raises:
        AuthoringError: There is none.
    """
    try:
        document = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise AuthoringError(f"{config}: cannot be read: {error}") from None
    section = document.get("dev")
    build = section.get("build") if isinstance(section, dict) else None
    if not isinstance(build, str) or not build:
        raise AuthoringError(f'{config}: there is no command to build with: add build = "..." under [dev]')
    return build


async def _dev(app: App, listen: str, build: str) -> None:
    seen = await asyncio.to_thread(_newest, Path())
    while not await _build(build):
        sys.stderr.write("The build failed; save a file to build again, Ctrl-C ends.\n")
        seen = await _saved(app, seen)
        if app.stopping.is_set():
            return
    service = await app.start("wagi", Service.open(WagiSettings(listen=listen, workers=1)))
    sys.stdout.write(f"Serving on {service.url}; save a file to build again, Ctrl-C ends.\n")
    sys.stdout.flush()
    while not app.stopping.is_set():
        now = await _saved(app, seen)
        if now != seen:
            seen = now
            # The service notices by itself that the module has changed.
            await _build(build)


async def _saved(app: App, seen: _Stamps) -> _Stamps:
    """Wait until a source file has changed or the application is to stop; return what is there then."""
    now = seen
    while now == seen and not app.stopping.is_set():
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_POLL_SECONDS):
                await app.stopping.wait()
        now = await asyncio.to_thread(_newest, Path())
    return now


async def _build(command: str) -> bool:
    """Run the command, its output in the terminal; return whether it succeeded."""
    with log.step("built", command=command) as fields:
        process = await asyncio.create_subprocess_shell(
            command, stdout=sys.stderr, env={**os.environ, "PATH": _path()}
        )
        try:
            fields["exit_code"] = await process.wait()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()
            raise
    return process.returncode == 0


def _path() -> str:
    """The search path, with the directory of this Python first: `python -m ziglang` should be ours."""
    return os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])


def _newest(directory: Path) -> _Stamps:
    return frozenset((str(path), path.stat().st_mtime_ns) for path in _sources(directory))


def _sources(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name.startswith(".") or path.name in _IGNORED:
            continue
        if path.is_dir():
            yield from _sources(path)
        elif _SOURCES.fullmatch(path.suffix) and path.is_file():
            yield path
