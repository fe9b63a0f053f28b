"""Modules and whole configurations come from bindles, whose digests and signatures are checked."""

import asyncio
import dataclasses
import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import ClientSession
from msgspec.structs import replace

from proa.bindle import BindleClient, Invoice, Keyring, SecretKey, Strategy, sign
from proa.bindle.invoice import Conditions, Group, Parcel
from proa.bindle.standalone import pack, write_standalone
from proa.bindle.testing import make_invoice, running_server
from proa.bindle.transfer import push
from proa.oci import RegistryClient
from proa.wagi.bindles import BindlePolicy, Bindles
from proa.wagi.config import Module
from proa.wagi.errors import ConfigError, SourceError
from proa.wagi.handlers import Limits
from proa.wagi.loading import Loader
from proa.wagi.service import Service
from proa.wagi.serving import serve
from proa.wagi.settings import WagiSettings
from proa.wagi.sources import Sources
from proa.wasm import Sandboxes
from proa.wasm.testing import compile_c

ID = "example.com/site/1.0.0"
KEY = SecretKey.generate("Creator <creator@example.com>")
TRUSTING = BindlePolicy(strategy=Strategy("CreativeIntegrity"), keyring=Keyring.of(KEY.public()))
SHOWS = r"""
#include <stdio.h>
int main(void) {
    char text[100] = "";
    FILE *file = fopen("/static/motto.txt", "r");
    if (file) fgets(text, sizeof text, file);
    printf("Content-Type: text/plain\n\n%s%s", text, fopen("/static/new", "w") ? " writable" : "");
    return 0;
}
"""


@pytest.fixture(scope="session")
def shows() -> bytes:
    return compile_c(SHOWS).read_bytes()


def _site(contents: Mapping[str, bytes]) -> Invoice:
    """A module with a route, and files that it requires."""
    invoice = make_invoice(ID, contents)
    parcels = []
    for parcel in invoice.parcels or []:
        label = parcel.label
        if label.name == "site.wasm":
            label = replace(label, media_type="application/wasm", feature={"wagi": {"route": "/site/..."}})
            parcels.append(Parcel(label=label, conditions=Conditions(requires=["files"])))
        else:
            label = replace(label, feature={"wagi": {"file": "true"}})
            parcels.append(Parcel(label=label, conditions=Conditions(member_of=["files"])))
    return replace(invoice, parcels=parcels, groups=[Group(name="files")])


def _write_all(directory: Path, contents: Mapping[str, bytes]) -> dict[str, Path]:
    """Write files; return where each is, by its digest."""
    directory.mkdir()
    found = {}
    for content in contents.values():
        digest = hashlib.sha256(content).hexdigest()
        found[digest] = directory / digest
        found[digest].write_bytes(content)
    return found


async def _serve_bindle(sandboxes: Sandboxes, bindles: Bindles, cache: Path) -> str:
    config = await bindles.config(ID, Limits())
    async with RegistryClient() as client:
        sources = Sources(cache, client)
        sources.register("bindle", bindles.fetch)
        handlers = await Loader(sandboxes, sources).load(config)
    async with (
        serve(handlers, sandboxes) as (_, server),
        ClientSession() as session,
        session.get(f"{server.url}/site/x") as response,
    ):
        return await response.text()


async def test_a_bindle_on_a_server_says_its_routes_and_brings_its_files(
    sandboxes: Sandboxes, tmp_path: Path, shows: bytes
) -> None:
    contents = {"site.wasm": shows, "static/motto.txt": b"we sail"}
    files = _write_all(tmp_path / "files", contents)
    async with running_server(tmp_path / "server") as server, BindleClient(server.url) as client:
        invoice = sign(_site(contents), server.creator, "creator", 1_600_000_000)
        await push(client, invoice, lambda label: files[label.sha256])
        policy = BindlePolicy(
            origin=server.url,
            strategy=Strategy("CreativeIntegrity"),
            keyring=Keyring.of(server.creator.public()),
        )
        async with Bindles.open(tmp_path / "kept", policy) as bindles:
            assert await _serve_bindle(sandboxes, bindles, tmp_path / "cache") == "we sail"


@pytest.mark.parametrize("form", ["directory", "below", "tarball"])
async def test_a_standalone_bindle_serves_as_well(
    sandboxes: Sandboxes, tmp_path: Path, shows: bytes, form: str
) -> None:
    contents = {"site.wasm": shows, "static/motto.txt": b"we sail"}
    files = _write_all(tmp_path / "files", contents)
    invoice = sign(_site(contents), KEY, "creator", 1_600_000_000)
    standalone = write_standalone(tmp_path / "bindles", invoice, lambda label: files[label.sha256])
    origin = tmp_path / "bindles" if form == "below" else standalone.directory
    if form == "tarball":
        origin = pack(standalone, tmp_path)
    async with Bindles.open(tmp_path / "kept", dataclasses.replace(TRUSTING, origin=str(origin))) as bindles:
        assert await _serve_bindle(sandboxes, bindles, tmp_path / "cache") == "we sail"


async def _fetch(tmp_path: Path, invoice: Invoice, files: dict[str, Path], module: str) -> None:
    standalone = write_standalone(tmp_path / "bindles", invoice, lambda label: files[label.sha256])
    async with Bindles.open(tmp_path / "kept", TRUSTING) as bindles:
        await bindles.fetch(Module(route="/", module=module, bindle_server=str(standalone.directory)))


async def test_a_bindle_that_nobody_known_has_signed_is_not_served(tmp_path: Path, shows: bytes) -> None:
    files = _write_all(tmp_path / "files", {"site.wasm": shows})
    stranger = SecretKey.generate("Stranger")
    for invoice, reason in (
        (_site({"site.wasm": shows}), "is not signed"),
        (sign(_site({"site.wasm": shows}), stranger, "creator", 1_600_000_000), "not in the keyring"),
    ):
        with pytest.raises(SourceError, match=reason):
            await _fetch(tmp_path, invoice, files, f"bindle:{ID}")
        shutil.rmtree(tmp_path / "bindles")


async def test_a_parcel_that_was_changed_is_not_served(tmp_path: Path, shows: bytes) -> None:
    files = _write_all(tmp_path / "files", {"site.wasm": shows})
    invoice = sign(_site({"site.wasm": shows}), KEY, "creator", 1_600_000_000)
    standalone = write_standalone(tmp_path / "bindles", invoice, lambda label: files[label.sha256])
    standalone.path(invoice.labels[0]).write_bytes(shows[:-1] + b"!")
    async with Bindles.open(tmp_path / "kept", TRUSTING) as bindles:
        with pytest.raises(SourceError, match="is not what its label says"):
            await bindles.fetch(
                Module(route="/", module=f"bindle:{ID}", bindle_server=str(standalone.directory))
            )


async def test_a_files_name_leads_out_of_no_directory(tmp_path: Path, shows: bytes) -> None:
    contents = {"site.wasm": shows, "../../escaped.txt": b"x"}
    files = _write_all(tmp_path / "files", contents)
    invoice = sign(_site(contents), KEY, "creator", 1_600_000_000)
    with pytest.raises(SourceError, match="no place below"):
        await _fetch(tmp_path, invoice, files, f"bindle:{ID}")
    assert not list(tmp_path.rglob("escaped.txt"))  # noqa: ASYNC240


async def test_what_is_not_there_is_told(tmp_path: Path, shows: bytes) -> None:
    files = _write_all(tmp_path / "files", {"site.wasm": shows})
    invoice = sign(_site({"site.wasm": shows}), KEY, "creator", 1_600_000_000)
    with pytest.raises(SourceError, match=r"there is site\.wasm"):
        await _fetch(tmp_path, invoice, files, f"bindle:{ID}#other.wasm")
    async with Bindles.open(tmp_path / "kept", BindlePolicy()) as bindles:
        with pytest.raises(SourceError, match="say where bindles come from"):
            await bindles.fetch(Module(route="/", module=f"bindle:{ID}"))
        with pytest.raises(ConfigError, match="say where bindles come from"):
            await bindles.config(ID, Limits())


async def test_without_a_keyring_no_bindle_is_trusted(tmp_path: Path, shows: bytes) -> None:
    files = _write_all(tmp_path / "files", {"site.wasm": shows})
    invoice = sign(_site({"site.wasm": shows}), KEY, "creator", 1_600_000_000)
    standalone = write_standalone(tmp_path / "bindles", invoice, lambda label: files[label.sha256])
    config = tmp_path / "modules.toml"
    entry = f'route = "/"\nmodule = "bindle:{ID}"\nbindle_server = "{standalone.directory}"\n'
    await asyncio.to_thread(config.write_text, f"[[module]]\n{entry}")
    settings = WagiSettings(config=config, listen="127.0.0.1:0", workers=1, module_cache=tmp_path / "cache")
    with pytest.raises(ConfigError, match=r"line 1: /: .*not in the keyring|nobody has signed"):
        async with Service.open(settings):
            pass
    async with Service.open(dataclasses.replace(settings, bindle_strategy="none")) as service:
        assert len(service.handlers) == 1
