"""Modules come from where the configuration says, are what their digests say, and may announce routes."""

import hashlib
from pathlib import Path

import pytest
from aiohttp import ClientSession
from wasmtime import wat2wasm

from proa.oci import Reference, Registry, RegistryClient, push_module
from proa.wagi.config import Module, parse_config
from proa.wagi.errors import ConfigError, SourceError
from proa.wagi.handlers import Handler
from proa.wagi.loading import Loader
from proa.wagi.serving import serve
from proa.wagi.sources import Fetched, Sources
from proa.wasm import Mount, Sandboxes

DYNAMIC = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\10\\00\\00\\00{length}\\00\\00\\00")
  (data (i32.const 16) "{text}")
  (data (i32.const 512) "\\10\\02\\00\\00\\1b\\00\\00\\00")
  (data (i32.const 528) "Content-Type: a/b\\0a\\0aan exact")
  (func (export "_start") unreachable)
  (func (export "on_exact")
    (drop (call $write (i32.const 1) (i32.const 512) (i32.const 1) (i32.const 256))))
  (func (export "{name}")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 256)))))"""


def _dynamic(routes: str, name: str = "_routes") -> bytes:
    text = routes.replace("\n", "\\0a")
    return bytes(wat2wasm(DYNAMIC.format(length=f"\\{len(routes):02x}", text=text, name=name)))


async def _load(sandboxes: Sandboxes, cache: Path, text: str) -> list[Handler]:
    async with RegistryClient() as client:
        loader = Loader(sandboxes, Sources(cache, client), {"EVERYWHERE": "1"})
        return await loader.load(parse_config(text, Path("modules.toml")))


async def _get(handlers: list[Handler], sandboxes: Sandboxes, path: str) -> str:
    async with (
        serve(handlers, sandboxes) as (_, server),
        ClientSession() as client,
        client.get(server.url + path) as response,
    ):
        return await response.text()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _entry(route: str, module: object, more: str = "") -> str:
    return f'[[module]]\nroute = "{route}"\nmodule = "{module}"\n{more}\n'


async def test_paths_and_file_uris_with_any_slashes_are_the_same_file(
    sandboxes: Sandboxes, guest: Path, tmp_path: Path
) -> None:
    text = "".join(
        _entry(f"/{number}", uri)
        for number, uri in enumerate((guest, f"file:{guest}", f"file://{guest}", f"file:///{guest}"))
    )
    handlers = await _load(sandboxes, tmp_path, text)
    assert [handler.route for handler in handlers] == ["/0", "/1", "/2", "/3"]
    assert len({handler.module for handler in handlers}) == 1
    assert handlers[0].environment == {"EVERYWHERE": "1"}


async def test_every_module_that_cannot_be_served_is_told_with_its_line(
    sandboxes: Sandboxes, guest: Path, tmp_path: Path
) -> None:
    (tmp_path / "text.wasm").write_text("hello")
    (tmp_path / "bad.wasm").write_bytes(_dynamic("/only-a-path\n"))
    text = (
        _entry("/missing", tmp_path / "missing.wasm")
        + _entry("/text", tmp_path / "text.wasm")
        + _entry("/entry", guest, 'entrypoint = "other"')
        + _entry("/fine", guest)
        + _entry("/digest", guest, f'digest = "sha256:{"0" * 64}"')
        + _entry("/routes/...", tmp_path / "bad.wasm")
    )
    with pytest.raises(ConfigError) as caught:
        await _load(sandboxes, tmp_path, text)
    told = caught.value.problems
    lines = [problem.split(": ")[1] for problem in told]
    assert lines == ["line 1", "line 5", "line 9", "line 17", "line 21"]
    for problem, reason in zip(
        told, ("No such file", "does not start with", "no function other", "digest", "line 1"), strict=True
    ):
        assert reason in problem


async def test_a_digest_that_is_right_is_accepted(sandboxes: Sandboxes, guest: Path, tmp_path: Path) -> None:
    digest = _digest(guest)
    [handler] = await _load(sandboxes, tmp_path, _entry("/", guest, f'digest = "sha256:{digest}"'))
    assert handler.module.digest == digest


async def test_an_image_is_pulled_cached_and_used_when_the_registry_is_gone(
    sandboxes: Sandboxes, guest: Path, tmp_path: Path
) -> None:
    async with Registry(data_dir=tmp_path / "registry", port=0) as registry, RegistryClient() as client:
        name = f"127.0.0.1:{registry.port}/hello:1"
        await push_module(client, guest, Reference.parse(name))
        sources = Sources(tmp_path / "images", client)
        for uri in (f"oci:{name}", f"oci://{name}"):
            fetched = await sources.fetch(Module(route="/", module=uri))
            assert fetched.sha256 == _digest(guest)
        with pytest.raises(SourceError, match="must not be pulled"):
            await Sources(tmp_path / "empty", client, "never").fetch(Module(route="/", module=f"oci:{name}"))
    async with RegistryClient() as client:
        sources = Sources(tmp_path / "images", client)
        assert await sources.fetch(Module(route="/", module=f"oci:{name}")) == fetched


async def test_other_schemes_can_be_registered(guest: Path, tmp_path: Path) -> None:
    async def fetch(module: Module) -> Fetched:
        assert module.bindle_server == "http://localhost"
        return Fetched(guest, "0" * 64)

    module = Module(route="/", module="bindle:x/1.0.0", bindle_server="http://localhost")
    async with RegistryClient() as client:
        sources = Sources(tmp_path, client)
        with pytest.raises(SourceError, match="bindle: URIs"):
            await sources.fetch(module)
        sources.register("bindle", fetch)
        assert (await sources.fetch(module)).path == guest


async def test_a_modules_own_routes_come_before_its_route(sandboxes: Sandboxes, tmp_path: Path) -> None:
    (tmp_path / "dynamic.wasm").write_bytes(_dynamic("/first _start\n/exact on_exact\n"))
    handlers = await _load(sandboxes, tmp_path, _entry("/parent/...", tmp_path / "dynamic.wasm"))
    assert [(handler.route, handler.entrypoint) for handler in handlers] == [
        ("/parent/exact", "on_exact"),
        ("/parent/first", "_start"),
        ("/parent/...", "_start"),
    ]
    assert await _get(handlers, sandboxes, "/parent/exact") == "an exact"


async def test_routes_to_exports_that_are_not_there_are_refused(sandboxes: Sandboxes, tmp_path: Path) -> None:
    (tmp_path / "dynamic.wasm").write_bytes(_dynamic("/x nowhere\n"))
    with pytest.raises(ConfigError, match="no function nowhere"):
        await _load(sandboxes, tmp_path, _entry("/", tmp_path / "dynamic.wasm"))


async def test_an_entrypoint_other_than_start_is_called(sandboxes: Sandboxes, tmp_path: Path) -> None:
    (tmp_path / "two.wasm").write_bytes(_dynamic("Content-Type: a/b\n\nsecond\n", "second"))
    text = _entry("/two", tmp_path / "two.wasm", 'entrypoint = "second"')
    handlers = await _load(sandboxes, tmp_path, text)
    assert await _get(handlers, sandboxes, "/two") == "second\n"


async def test_a_volume_that_is_not_there_is_left_out(
    sandboxes: Sandboxes, guest: Path, tmp_path: Path
) -> None:
    volumes = f'volumes = {{"/a" = "{tmp_path}", "/b" = "{tmp_path}/missing"}}'
    [handler] = await _load(sandboxes, tmp_path / "cache", _entry("/", guest, volumes))
    assert handler.mounts == (Mount(tmp_path, "/a"),)
