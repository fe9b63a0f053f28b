"""A bindle from end to end in one process: sign, serve, push, search, verify, choose parcels, yank.

python examples/bindle/aggregate.py
"""

import asyncio
import hashlib
import tempfile
import time
from pathlib import Path

from proa.bindle import (
    Bindle,
    BindleClient,
    Conditions,
    Filter,
    Group,
    Invoice,
    Keyring,
    Label,
    Parcel,
    Query,
    SecretKey,
    SecretKeys,
    Storage,
    Strategy,
    Trust,
    sign,
    signature_reports,
)
from proa.bindle.auth import Everyone
from proa.bindle.cache import Cache
from proa.bindle.errors import YankedError
from proa.bindle.server import BindleServer
from proa.bindle.transfer import fetch, push

FILES = {
    "greeting-en.txt": (b"Good morning\n", "en"),
    "greeting-eo.txt": (b"Bonan matenon\n", "eo"),
    "license.txt": (b"Take it.\n", None),
}


def make_bindle(folder: Path) -> Invoice:
    """Write the files and describe them: of the greetings, one of a group is enough."""
    parcels = []
    for name, (content, language) in FILES.items():
        (folder / name).write_bytes(content)
        label = Label(
            sha256=hashlib.sha256(content).hexdigest(),
            media_type="text/plain",
            name=name,
            size=len(content),
            feature={"speech": {"language": language}} if language else None,
        )
        conditions = Conditions(member_of=["greeting"]) if language else None
        parcels.append(Parcel(label=label, conditions=conditions))
    return Invoice(
        bindle_version="1.0.0",
        bindle=Bindle(name="example.com/greetings", version="1.0.0", description="How to say it"),
        parcels=parcels,
        groups=[Group(name="greeting", required=True, satisfied_by="oneOf")],
    )


async def main() -> None:
    author = SecretKey.generate("Ada <ada@example.com>", ["creator"])
    host = SecretKey.generate("This laptop", ["host"])
    keyring = Keyring.of(author.public(), host.public())
    trust = Trust(keyring=keyring, strategy=Strategy(), secret_keys=SecretKeys.of(host))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with (
            Storage(folder / "server") as storage,
            BindleServer(storage, trust=trust, authenticator=Everyone(), port=0) as server,
            BindleClient(server.url) as client,
            Cache(folder / "cache", strategy=Strategy.parse("GreedyVerification"), keyring=keyring) as cache,
        ):
            invoice = sign(make_bindle(folder), author, "creator", int(time.time()))
            pushed = await push(client, invoice, lambda label: folder / label.name)
            print(f"pushed {invoice.id}: {len(pushed.uploaded)} parcels")
            found = await client.search(Query(text="greet", version="^1.0"))
            print(f"a search finds {[str(each.id) for each in found.invoices]}")
            fetched = await cache.invoice(client, invoice.id)
            for report in signature_reports(fetched, keyring):
                print(f"signed as {report.signature.role} by {report.signature.by}: trusted={report.trusted}")
            chosen = Filter(activate={"speech": {"language": "eo"}}).select(fetched)
            paths = await fetch(client, cache, fetched, [parcel.label for parcel in chosen])
            for parcel in chosen:
                print(f"{parcel.label.name}: {paths[parcel.label.sha256].read_text().strip()}")
            await client.yank(invoice.id, "Esperanto needs an accusative")
            try:
                await cache.invoice(client, invoice.id)
            except YankedError as error:
                print(error)


if __name__ == "__main__":
    asyncio.run(main())
