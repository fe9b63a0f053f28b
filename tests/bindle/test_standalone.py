"""Standalone bindles, exports and OCI artifacts: whole, and never outside their place."""

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest

from proa.bindle.errors import BindleError, InvalidInvoiceError, ParcelMismatchError, StandaloneError
from proa.bindle.export import export, safe_path
from proa.bindle.invoice import Invoice, Label, Parcel, encode
from proa.bindle.keys import SecretKey
from proa.bindle.oci import pull_bindle, push_bindle
from proa.bindle.signing import sign
from proa.bindle.standalone import pack, read_standalone, unpack, write_standalone
from proa.bindle.testing import make_invoice, make_label
from proa.oci import BlobStore, RegistryClient, UnsupportedArtifactError, push_module
from proa.oci.testing import EMPTY_MODULE, running_registry

CONTENTS = {"a.txt": b"a", "deep/b.txt": b"b" * 3_000_000, "again.txt": b"a"}


def invoice_and_files(directory: Path) -> tuple[Invoice, Mapping[str, Path]]:
    directory.mkdir()
    files = {}
    for content in CONTENTS.values():
        label = make_label("", content)
        files[label.sha256] = directory / label.sha256
        files[label.sha256].write_bytes(content)
    key = SecretKey.generate("me", ["creator"])
    return sign(make_invoice("example.com/all/1.0.0", CONTENTS), key, "creator", 1), files


def test_a_standalone_directory_is_as_the_reference_writes_it(tmp_path: Path) -> None:
    invoice, files = invoice_and_files(tmp_path / "in")
    written = write_standalone(tmp_path, invoice, lambda label: files[label.sha256])
    assert written.directory == tmp_path / invoice.id.sha256
    found = {
        str(path.relative_to(written.directory)) for path in written.directory.rglob("*") if path.is_file()
    }
    assert found == {"invoice.toml", *(f"parcels/{digest}.dat" for digest in files)}
    read = read_standalone(tmp_path, invoice.id.sha256)
    assert read.invoice == invoice
    read.verify()
    with pytest.raises(StandaloneError, match="nothing is overwritten"):
        write_standalone(tmp_path, invoice, lambda label: files[label.sha256])


def test_a_bindle_without_parcels_has_the_directory_all_the_same(tmp_path: Path) -> None:
    written = write_standalone(tmp_path, make_invoice("a/1.0.0", {}), lambda label: tmp_path / label.name)
    assert (written.directory / "parcels").is_dir()


def test_a_tarball_comes_back_whole_and_is_the_same_each_time(tmp_path: Path) -> None:
    invoice, files = invoice_and_files(tmp_path / "in")
    written = write_standalone(tmp_path, invoice, lambda label: files[label.sha256])
    first = pack(written, tmp_path)
    assert first.name == f"{invoice.id.sha256}.tar.gz"
    (tmp_path / "again").mkdir()
    assert pack(written, tmp_path / "again").read_bytes() == first.read_bytes()
    (tmp_path / "out").mkdir()
    back = unpack(first, tmp_path / "out")
    assert back.invoice == invoice
    back.verify()


def test_a_damaged_parcel_is_noticed_and_nothing_is_left(tmp_path: Path) -> None:
    invoice, files = invoice_and_files(tmp_path / "in")
    files[invoice.labels[0].sha256].write_bytes(b"x")
    (tmp_path / "out").mkdir()
    with pytest.raises(ParcelMismatchError):
        write_standalone(tmp_path / "out", invoice, lambda label: files[label.sha256])
    assert list((tmp_path / "out").iterdir()) == []


def tarball(path: Path, members: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member, content in members:
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def test_a_hostile_tarball_leaves_nothing_behind_and_writes_nothing_outside(tmp_path: Path) -> None:
    invoice = make_invoice("a/1.0.0", {"a": b"a"})
    key, digest = invoice.id.sha256, invoice.labels[0].sha256
    document = (tarfile.TarInfo(f"{key}/invoice.toml"), encode(invoice))
    link = tarfile.TarInfo(f"{key}/parcels/{digest}.dat")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    outside = tmp_path / "outside"
    outside.mkdir()
    cases: list[list[tuple[tarfile.TarInfo, bytes]]] = [
        [document, (tarfile.TarInfo(f"{key}/parcels/{digest}.dat"), b"a" * 10_000_000)],
        [document, (tarfile.TarInfo(f"{key}/parcels/{digest}.dat"), b"b")],
        [(tarfile.TarInfo("invoice.toml"), encode(invoice))],
        [(tarfile.TarInfo(f"{key}/invoice.toml"), b"nonsense")],
        [],
    ]
    for number, members in enumerate(cases):
        path = tarball(tmp_path / f"{number}.tar.gz", members)
        with pytest.raises(BindleError):
            unpack(path, outside)
        assert list(outside.iterdir()) == []
    for sneaky in (link, tarfile.TarInfo("../../escaped"), tarfile.TarInfo("/etc/escaped")):
        path = tarball(tmp_path / "sneaky.tar.gz", [document, (sneaky, b"")])
        with pytest.raises(ParcelMismatchError):
            unpack(path, outside).verify()
        assert {entry.name for entry in outside.iterdir()} == {key}
        assert not list((outside / key / "parcels").iterdir())
        (outside / key / "invoice.toml").unlink()
        (outside / key / "parcels").rmdir()
        (outside / key).rmdir()
    (tmp_path / "noise.tar.gz").write_bytes(b"noise")
    with pytest.raises(StandaloneError):
        unpack(tmp_path / "noise.tar.gz", outside)


def test_what_is_no_standalone_bindle_says_why(tmp_path: Path) -> None:
    with pytest.raises(StandaloneError, match=r"invoice.toml: No such file"):
        read_standalone(tmp_path)
    (tmp_path / "invoice.toml").write_bytes(b"x")
    with pytest.raises(StandaloneError, match="not TOML"):
        read_standalone(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "/etc/passwd", "..", "../a", "a/../../b", "a\\b", "c:/x", "a\nb", "a\0b", "\x1b[2J"]
)
def test_a_name_that_leads_elsewhere_is_no_path(name: str, tmp_path: Path) -> None:
    with pytest.raises(BindleError, match="no place below"):
        safe_path(tmp_path, name)


def test_an_export_has_parcels_by_name_and_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "content").write_bytes(b"a")
    label = make_label("deep/a.txt", b"a")
    (path,) = export(tmp_path / "out", [(label, tmp_path / "content")])
    assert path == tmp_path / "out" / "deep" / "a.txt"
    assert path.read_bytes() == b"a"
    with pytest.raises(BindleError, match="nothing is overwritten"):
        export(tmp_path / "out", [(label, tmp_path / "content")])
    (tmp_path / "out" / "link").symlink_to("/tmp")
    with pytest.raises(BindleError, match="a link leads there"):
        export(tmp_path / "out", [(make_label("link/a.txt", b"a"), tmp_path / "content")])


async def test_a_bindle_passes_through_a_registry_without_loss(tmp_path: Path) -> None:
    invoice, files = invoice_and_files(tmp_path / "in")
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        reference = registry.reference("bindles/all:1.0.0")
        digest = await push_bindle(client, reference, invoice, lambda label: files[label.sha256])
        assert await push_bindle(client, reference, invoice, lambda label: files[label.sha256]) == digest
        pulled = await pull_bindle(client, reference, BlobStore(tmp_path / "store"))
        assert (pulled.invoice, pulled.digest) == (invoice, digest)
        for label in invoice.labels:
            assert pulled.path(label).read_bytes() == files[label.sha256].read_bytes()


async def test_an_artifact_that_is_no_bindle_and_a_parcel_that_is_another_are_refused(tmp_path: Path) -> None:
    invoice, files = invoice_and_files(tmp_path / "in")
    module = tmp_path / "module.wasm"
    module.write_bytes(EMPTY_MODULE)
    async with running_registry(tmp_path / "registry") as registry, RegistryClient() as client:
        await push_module(client, module, registry.reference("module:1"))
        with pytest.raises(UnsupportedArtifactError, match="is no bindle"):
            await pull_bindle(client, registry.reference("module:1"), BlobStore(tmp_path / "store"))
        with pytest.raises(InvalidInvoiceError, match="is not the parcel"):
            await push_bindle(client, registry.reference("all:1"), invoice, lambda _: module)
        odd = Label(sha256="abc", media_type="text/plain", name="odd", size=1)
        broken = msgspec.structs.replace(invoice, parcels=[Parcel(label=odd)])
        with pytest.raises(InvalidInvoiceError, match="lower-case hex"):
            await push_bindle(client, registry.reference("all:1"), broken, lambda label: files[label.sha256])
