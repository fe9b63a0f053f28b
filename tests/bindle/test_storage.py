"""Storage: garbage, leftovers of the reference, and the disk's own failures."""

import asyncio
from pathlib import Path

import pytest

from proa.bindle.errors import ParcelMismatchError, ParcelNotFoundError
from proa.bindle.invoice import encode
from proa.bindle.storage import Storage
from proa.bindle.storage.index import Query, SearchIndex
from proa.bindle.testing import make_invoice, make_label
from proa.oci import StorageError


async def store(storage: Storage, content: bytes) -> str:
    label = make_label("x", content)
    async with storage.receiving(label) as writer:
        await writer.write(content)
        await writer.commit()
    return label.sha256


async def test_garbage_is_what_no_invoice_names_yanked_ones_included(tmp_path: Path) -> None:
    async with Storage(tmp_path) as storage:
        used, yanked, orphan = [await store(storage, text) for text in (b"used", b"yanked!", b"orphan")]
        await storage.create(make_invoice("a/1.0.0", {"used": b"used"}))
        gone = make_invoice("b/1.0.0", {"yanked": b"yanked!"})
        await storage.create(gone)
        await storage.yank(gone.id, lambda invoice: invoice)
        assert (await storage.collect_garbage(dry_run=True)).parcels == [orphan]
        assert await storage.parcels.size(orphan) == 6
        garbage = await storage.collect_garbage()
        assert (garbage.parcels, garbage.size, storage.stored_bytes) == ([orphan], 6, 11)
        assert [await storage.parcels.size(each) for each in (used, yanked, orphan)] == [4, 7, None]


async def test_a_directory_of_the_reference_is_served(tmp_path: Path) -> None:
    invoice = make_invoice("enterprise.com/warpcore/1.0.0", {"red": b"a red one", "green": b"a green one"})
    place = tmp_path / "invoices" / "1927aefa8fdc8327499e918300e2e49ecb271321530cc5881fcd069ca8372dcd"
    place.mkdir(parents=True)
    (place / "invoice.toml").write_bytes(encode(invoice))
    red, green = (label.sha256 for label in invoice.labels)
    (tmp_path / "parcels" / red).mkdir(parents=True)
    (tmp_path / "parcels" / red / "parcel.dat").write_bytes(b"a red one")
    (tmp_path / "parcels" / green).mkdir()
    (tmp_path / "parcels" / green / "parcel.part").write_bytes(b"a gre")  # an upload that failed there
    (tmp_path / "invoices" / "broken").mkdir()
    (tmp_path / "invoices" / "broken" / "invoice.toml").write_bytes(b"nonsense")
    async with Storage(tmp_path) as storage:
        assert (await storage.get(invoice.id)).invoice == invoice
        assert [label.sha256 for label in await storage.missing(invoice.id)] == [green]
        assert await store(storage, b"a green one") == green
        assert await storage.missing(invoice.id) == []
        assert (await storage.search(Query(text="warp"))).total == 1


async def test_a_directory_has_one_server(tmp_path: Path) -> None:
    async with Storage(tmp_path):
        with pytest.raises(StorageError, match="served by another process"):
            async with Storage(tmp_path):
                pass
    async with Storage(tmp_path):
        pass


async def test_a_directory_that_cannot_be_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="a file is where a directory should be"):
        async with Storage(tmp_path / "file" / "below"):
            pass


async def test_a_cancelled_upload_leaves_no_file_open_and_nothing_that_blocks(tmp_path: Path) -> None:
    content = b"x" * 9_000_000
    label = make_label("x", content)
    async with Storage(tmp_path) as storage:
        begun = asyncio.Event()

        async def upload() -> None:
            async with storage.receiving(label) as writer:
                await writer.write(content[:5_000_000])
                begun.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(upload())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await storage.arrived(label.sha256) == 5_000_000
        assert storage.stored_bytes == 0
        with pytest.raises(ParcelMismatchError, match="carry on"):
            async with storage.receiving(label, 6_000_000):
                pass
        async with storage.receiving(label, 5_000_000) as writer:
            await writer.write(content[5_000_000:])
            await writer.commit()
        assert storage.stored_bytes == len(content)
        assert not list((tmp_path / "uploads").iterdir())


@pytest.mark.parametrize("digest", ["", "..", "a" * 63, "A" * 64, "../" + "a" * 61])
def test_what_is_no_digest_is_no_path(tmp_path: Path, digest: str) -> None:
    with pytest.raises(ParcelNotFoundError):
        Storage(tmp_path).parcels.path(digest)


def test_the_index_finds_what_was_put_as_what_was_loaded() -> None:
    names = ["b", "a/c", "a/B"]
    ids = [
        make_invoice(f"{name}/{version}", {}).id for name in names for version in ("1.10.0", "1.2.0", "2.0.0")
    ]
    loaded, put = SearchIndex(), SearchIndex()
    loaded.load([(bindle, False) for bindle in ids])
    for bindle in ids:
        put.put(bindle, yanked=True)
        put.put(bindle, yanked=False)
    assert len(loaded) == len(put) == 9
    for query in (
        Query(),
        Query(text="b"),
        Query(text="B", strict=True),
        Query(version="^1"),
        Query(offset=4, limit=3),
    ):
        assert loaded.search(query) == put.search(query)
    everything = loaded.search(Query())
    assert [str(bindle) for bindle in everything.ids[:3]] == ["a/B/1.2.0", "a/B/1.10.0", "a/B/2.0.0"]
    pages = [loaded.search(Query(offset=at, limit=2)).ids for at in range(0, 10, 2)]
    assert [bindle for page in pages for bindle in page] == everything.ids
