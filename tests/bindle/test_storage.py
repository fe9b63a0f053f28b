"""Storage: garbage, leftovers of the reference, and the disk's own failures."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.app.files import StorageError
from proa.bindle.errors import ParcelMismatchError, ParcelNotFoundError
from proa.bindle.invoice import Id, encode
from proa.bindle.storage import Storage
from proa.bindle.storage.database import InvoiceIndex
from proa.bindle.storage.index import Found, Query
from proa.bindle.testing import make_invoice, make_label
from proa.bindle.version import Version, VersionRange


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


def index_of(*ids: str) -> InvoiceIndex:
    index = InvoiceIndex(Path(":memory:"), durable=True)
    index.open()
    for bindle in ids:
        index.put(make_invoice(bindle, {}))
    return index


def ids(found: Found) -> list[str]:
    return [str(invoice.id) for invoice in found.invoices]


def test_results_come_by_name_and_then_version() -> None:
    everything = [
        f"{name}/{v}" for name in ("a/B", "a/c", "b") for v in ("1.2.0", "1.10.0-x", "1.10.0", "2.0.0")
    ]
    with contextlib.closing(index_of(*reversed(everything))) as index:
        assert ids(index.search(Query())) == everything
        pages = [index.search(Query(offset=at, limit=5)) for at in range(0, 15, 5)]
        assert [each for page in pages for each in ids(page)] == everything
        assert {page.total for page in pages} == {12}
        assert ids(index.search(Query(text="b", version="^1"))) == [
            "a/B/1.2.0",
            "a/B/1.10.0",
            "b/1.2.0",
            "b/1.10.0",
        ]
        assert ids(index.search(Query(text="B", strict=True, version=">=2"))) == ["a/B/2.0.0"]
        assert ids(index.search(Query(text="c a", version="=1.10.0-x"))) == ["a/c/1.10.0-x"]
        assert index.search(Query(text="c", version="nonsense")) == Found([], 0)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_search_finds_what_a_look_at_each_invoice_would(data: st.DataObject) -> None:
    number = st.integers(0, 2)
    versions = st.builds("{}.{}.{}{}".format, number, number, number, st.sampled_from(["", "-a", "-1", "+b"]))
    bindles = data.draw(
        st.lists(st.tuples(st.sampled_from(["x/a", "x/B", "ß", "SS"]), versions, st.booleans()))
    )
    states = {f"{name}/{version}": yanked for name, version, yanked in bindles}
    query = Query(
        text=data.draw(st.sampled_from(["", "b", "B", "x a", "ss"])),
        version=data.draw(
            st.sampled_from(["", "*", "^1", "~0.1", "<2.0.0-b", ">=1.1, <2", "1.0.0-a", "=1.0.0+b"])
        ),
        strict=data.draw(st.booleans()),
        yanked=data.draw(st.booleans()),
        offset=data.draw(st.integers(0, 3)),
        limit=data.draw(st.integers(1, 4)),
    )
    expected = sorted(
        (bindle for bindle, yanked in states.items() if query.yanked or not yanked),
        key=lambda text: (Id.parse(text).name, Version.parse(Id.parse(text).version).key, text),
    )
    expected = [bindle for bindle in expected if _answers(query, Id.parse(bindle))]
    with contextlib.closing(index_of(*states)) as index:
        for bindle, yanked in states.items():
            index.put(msgspec.structs.replace(make_invoice(bindle, {}), yanked=yanked or None))
        found = index.search(query)
        assert (ids(found), found.total) == (expected[query.offset :][: query.limit], len(expected))


def _answers(query: Query, bindle: Id) -> bool:
    fold = str if query.strict else str.casefold
    words = fold(query.text).split()
    return all(word in fold(bindle.name) for word in words) and VersionRange(query.version).matches(
        Version.parse(bindle.version)
    )


async def test_the_index_follows_what_other_programs_do_to_the_files(tmp_path: Path) -> None:
    first, second, third = (make_invoice(f"example.com/{name}/1.0.0", {}) for name in ("a", "b", "c"))
    async with Storage(tmp_path) as storage:
        await storage.create(first)
        await storage.create(second)
    place = tmp_path / "invoices"
    shutil.rmtree(place / first.id.sha256)
    (place / second.id.sha256 / "invoice.toml").write_bytes(
        encode(msgspec.structs.replace(second, yanked=True))
    )
    (place / third.id.sha256).mkdir()
    (place / third.id.sha256 / "invoice.toml").write_bytes(encode(third))
    async with Storage(tmp_path) as storage:
        assert ids(await storage.search(Query())) == [str(third.id)]
        assert ids(await storage.search(Query(yanked=True))) == [str(second.id), str(third.id)]


@pytest.mark.parametrize("damage", [b"", b"nonsense" * 1000])
async def test_a_damaged_index_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    invoice = make_invoice("example.com/a/1.0.0", {})
    async with Storage(tmp_path) as storage:
        await storage.create(invoice)
    (tmp_path / "index.sqlite").write_bytes(damage)
    async with Storage(tmp_path) as storage:
        assert ids(await storage.search(Query())) == [str(invoice.id)]
