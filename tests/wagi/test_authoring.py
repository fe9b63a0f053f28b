"""`proa wagi new` writes handlers that build; `proa wagi dev` serves them anew on every save."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession

from proa.wagi.authoring import AuthoringError, new, read_build, write_handler
from proa.wagi.config import load_config
from proa.wagi.serving import serve_module
from proa.wagi.templates import TEMPLATES
from proa.wasm import Mount, Sandboxes
from proa.wasm.testing import cache_directory, compile_c

BIN = Path(sys.executable).parent


@pytest.mark.parametrize("language", sorted(TEMPLATES))
def test_a_new_handler_has_all_that_it_needs(tmp_path: Path, language: str) -> None:
    assert new([str(tmp_path / "new"), "--language", language]) == 0
    [module] = load_config(tmp_path / "new" / "modules.toml").modules
    assert (module.route, module.module) == ("/...", TEMPLATES[language].module)
    assert read_build(tmp_path / "new" / "modules.toml") == TEMPLATES[language].build
    with pytest.raises(AuthoringError, match="is not empty"):
        write_handler(tmp_path / "new", language)


@pytest.mark.parametrize(
    ("language", "tool"),
    [("c", "python"), ("zig", "python"), ("rust", "cargo"), ("go", "go"), ("python", "componentize-py")],
)
@pytest.mark.timeout(300)
async def test_a_new_handler_builds_and_answers(
    tmp_path: Path, language: str, tool: str, sandboxes: Sandboxes
) -> None:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    if shutil.which(tool, path=path) is None:
        pytest.skip(f"needs {tool}")
    directory = tmp_path / "new"
    await asyncio.to_thread(write_handler, directory, language)
    caches = {"ZIG_GLOBAL_CACHE_DIR": "zig", "GOCACHE": "go"}
    environment = {name: str(cache_directory() / cache) for name, cache in caches.items()}
    build = await asyncio.create_subprocess_shell(
        TEMPLATES[language].build,
        cwd=directory,
        env={**os.environ, "PATH": path, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await build.communicate()
    if language == "rust" and b"wasm32-wasip1" in output:
        pytest.skip("needs Rust's target wasm32-wasip1")
    assert build.returncode == 0, output.decode()
    built = directory / TEMPLATES[language].module
    async with (
        serve_module(built, sandboxes) as server,
        ClientSession() as client,
        client.get(f"{server.url}/you") as response,
    ):
        assert await response.text() == f"Hello from {language.title()}, /you\n"


@contextlib.asynccontextmanager
async def _dev(directory: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    environment = {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(cache_directory() / "zig")}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proa.cli", "wagi", "dev", str(directory), "--listen", "127.0.0.1:0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.match(r"Serving on (\S+);", line)
        assert found, (line, process.stderr and await process.stderr.read())
        yield process, found[1]
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.communicate()


@pytest.mark.timeout(120)
async def test_a_save_builds_and_serves_anew_and_traps_are_shown(tmp_path: Path) -> None:
    await asyncio.to_thread(write_handler, tmp_path, "c")
    source = tmp_path / "handler.c"
    text = await asyncio.to_thread(source.read_text)
    async with _dev(tmp_path) as (process, url), ClientSession() as client:
        async with client.get(url + "/you") as response:
            assert await response.text() == "Hello from C, /you\n"
        changed = text.replace("Hello", "Goodbye")
        await asyncio.to_thread(source.write_text, changed)
        await _until(client, url, 200, "Goodbye")
        broken = changed.replace(
            "    printf", '    fputs("a note", stderr); __builtin_trap();\n    printf', 1
        )
        await asyncio.to_thread(source.write_text, broken)
        await _until(client, url, 500, "")
        process.send_signal(signal.SIGTERM)
        _, log = await process.communicate()
    assert process.returncode == 0
    assert b"a note" in log
    assert b"wasm backtrace" in log


async def _until(client: ClientSession, url: str, status: int, text: str) -> None:
    while True:
        async with client.get(url) as response:
            if response.status == status and text in await response.text():
                return
        await asyncio.sleep(0.05)


@pytest.mark.timeout(60)
async def test_a_build_that_fails_at_first_is_tried_again_at_the_next_save(
    tmp_path: Path,
) -> None:
    await asyncio.to_thread(write_handler, tmp_path, "c")
    await asyncio.to_thread((tmp_path / "modules.toml").write_text, "[dev]\nbuild = 'false'\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proa.cli", "wagi", "dev", str(tmp_path), stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        for content in ("first", "second"):
            await asyncio.to_thread((tmp_path / "handler.c").write_text, content)
            while b"The build failed" not in await process.stderr.readline():
                pass
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize("content", ["", "[dev]\n", "[dev]\nbuild = 1\n", "dev = 2", "["])
def test_without_a_command_to_build_with_there_is_a_word_of_what_to_do(tmp_path: Path, content: str) -> None:
    (tmp_path / "modules.toml").write_text(content)
    with pytest.raises(AuthoringError, match=r"modules\.toml"):
        read_build(tmp_path / "modules.toml")


async def test_the_example_is_a_guestbook(sandboxes: Sandboxes, tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "wagi"
    guest = await asyncio.to_thread(compile_c, (example / "guestbook.c").read_text())
    mounts = [Mount(tmp_path, "/data")]
    async with serve_module(guest, sandboxes, mounts=mounts) as server, ClientSession() as client:
        async with client.post(server.url, data="text=a <b> & c\r\n", allow_redirects=False) as response:
            assert (response.status, response.headers["Location"]) == (303, "/")
        async with client.get(server.url) as response:
            assert "<li>a &lt;b> &amp; c\n" in await response.text()
