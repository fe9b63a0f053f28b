"""Handlers out of bindles, by the policy of whom to trust."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiohttp import ClientSession

from proa.bindle import BindleClient
from proa.bindle.invoice import Parcel
from proa.bindle.keys import Keyring
from proa.bindle.signing import sign
from proa.bindle.testing import make_invoice, running_server
from proa.cli._wagi_bindles import bindle_fetcher
from proa.wagi.errors import ConfigError
from proa.wagi.service import Service
from proa.wagi.settings import WagiSettings
from proa.wasm.testing import cache_directory


async def test_a_handler_comes_out_of_a_bindle_that_is_trusted(tmp_path: Path, guest: Path) -> None:
    async with running_server(tmp_path / "bindles") as server, BindleClient(server.url) as client:
        invoice = make_invoice(
            "example.com/guest/1.0.0", {"guest.wasm": await asyncio.to_thread(guest.read_bytes)}
        )
        label = msgspec.structs.replace(invoice.labels[0], media_type="application/wasm")
        invoice = msgspec.structs.replace(invoice, parcels=[Parcel(label=label)])
        await client.create_invoice(sign(invoice, server.creator, "creator", 1))
        await client.push_parcel(invoice.id, label, guest)
        cache = tmp_path / "cache"
        cache.mkdir()
        (cache / "compiled").symlink_to(cache_directory() / "compiled")
        config = tmp_path / "modules.toml"
        module = f'module = "bindle:{invoice.id}"\nbindle_server = "{server.url}"'
        config.write_text(f'[[module]]\nroute = "/..."\n{module}\n')
        keyring = tmp_path / "keyring.toml"
        Keyring.of(server.creator.public(), server.host.public()).save(keyring)
        settings = WagiSettings(
            config=config,
            listen="127.0.0.1:0",
            workers=1,
            executors=1,
            module_cache=cache,
            watch=False,
            bindle_keyring=keyring,
        )
        async with (
            bindle_fetcher(settings) as fetch,
            Service.open(settings, {"bindle": fetch}) as service,
            ClientSession() as session,
            session.get(f"{service.url}/") as answer,
        ):
            assert answer.status == 200
        async with bindle_fetcher(WagiSettings(config=config, module_cache=cache)) as fetch:
            with pytest.raises(ConfigError, match="not in the keyring"):
                async with Service.open(settings, {"bindle": fetch}):
                    pass
