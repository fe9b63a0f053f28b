"""Ten thousand hostile documents and names: refused in a line, nothing written outside, nothing blocked."""

import asyncio
import random
import time
from pathlib import Path

import aiohttp
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.bindle.errors import BindleError
from proa.bindle.export import safe_path
from proa.bindle.invoice import Format, Id, encode, parse_invoice
from proa.bindle.keys import SecretKey
from proa.bindle.signing import sign
from proa.bindle.testing import RunningServer, make_invoice
from proa.bindle.version import Version, VersionRange

CASES = 10_000
PIECES = [
    b'"',
    b"'",
    b"[",
    b"]",
    b"[[",
    b"]]",
    b"{",
    b"}",
    b"=",
    b".",
    b",",
    b"\n",
    b"\0",
    b"\xff",
    b"#",
    b"\\",
    b"../",
    b"/etc/passwd",
    b"%2e%2e%2f",
    b"999999999999999999999999",
    b"-1",
    b"nan",
    b"1e999",
    b"\xed\xa0\x80",
    b"1979-05-27T07:32:00Z",
    b"\\uD800",
    b"\\u0000",
    b"true",
    b"parcel",
    b"label",
    b'sha256 = "../x"',
    b"@",
]


def mutated(random_: random.Random, document: bytes) -> bytes:
    """Change a document in a few places."""
    changed = bytearray(document)
    for _ in range(random_.randint(1, 6)):
        at = random_.randrange(len(changed) + 1)
        match random_.randrange(4):
            case 0:
                changed[at:at] = random_.choice(PIECES)
            case 1:
                del changed[at : at + random_.randint(1, 40)]
            case 2:
                changed[at : at + 4] = random_.choice(PIECES)
            case _:
                changed[at:at] = changed[at : at + 60]
    return bytes(changed)


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_hostile_document_is_read_or_refused_and_what_is_read_is_safe(form: Format) -> None:
    key = SecretKey.generate("me", ["creator"])
    whole = encode(sign(make_invoice("example.com/a/1.0.0", {"a": b"a", "b": b"b"}), key, "creator", 1), form)
    random_ = random.Random(7)
    accepted = 0
    refusals: list[str] = []
    for _ in range(CASES // 2):
        try:
            invoice = parse_invoice(mutated(random_, whole), form)
        except BindleError as error:
            refusals.append(str(error))
            continue
        accepted += 1
        assert Id.parse(str(invoice.id)) == invoice.id
        assert all(label.sha256.isalnum() and label.sha256.isascii() for label in invoice.labels)
        assert parse_invoice(encode(invoice, form), form) == invoice
    assert accepted > 0
    assert all(refusal.isprintable() for refusal in refusals)


@pytest.mark.parametrize(
    "document",
    [
        b"a = " + b"[" * 100_000,
        b"a = " + b"{a=" * 100_000,
        b".".join([b"a"] * 20_000) + b" = 1",
        b"[" + b".".join([b"a"] * 20_000) + b"]",
        b" . ".join([b'"\\""'] * 20_000) + b" = 1",
        b"x = {" + b".".join([b"'a b'"] * 20_000) + b" = 1}",
        b"a" * 4_000_000,
        b'"' * 4_000_000,
        b"".join(b"[a%d]\n" % number for number in range(50_000)),
        b"".join(b"[[parcel]]\n" for _ in range(50_000)),
        b'a = """' + b'\\"' * 500_000,
        b"#" * 4_000_000,
        b"\xff" * 4_000_000,
    ],
)
def test_a_document_made_to_cost_time_costs_little(document: bytes) -> None:
    began = time.process_time()
    with pytest.raises(BindleError):
        parse_invoice(document)
    assert time.process_time() - began < 10


@given(st.text(max_size=40))
def test_a_name_never_leads_outside(name: str) -> None:
    try:
        path = safe_path(Path("/place"), name)
    except BindleError:
        return
    assert path.is_relative_to("/place")
    assert path != Path("/place")
    assert ".." not in path.parts


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        bindle = Id.parse(text)
    except BindleError:
        return
    assert Id.parse(str(bindle)) == bindle


@given(st.text(alphabet="0123456789.*xX^~<>=,- +ab", max_size=30))
def test_any_text_is_a_range_that_can_be_asked(text: str) -> None:
    assert VersionRange(text).matches(Version(1, 2, 3)) in {True, False}


async def test_hostile_paths_and_bodies_get_an_answer_and_leave_nothing(
    server: RunningServer, http: aiohttp.ClientSession
) -> None:
    await asyncio.to_thread(server.storage.directory.mkdir, exist_ok=True)
    before = await asyncio.to_thread(_files, server.storage.directory)
    whole = encode(server.signed("example.com/a/1.0.0", {"a": b"a"}))
    random_ = random.Random(11)
    base = server.url.removesuffix("/v1/")
    alphabet = [
        "..",
        "/",
        "%2f",
        "%00",
        "@",
        "a",
        "1.0.0",
        "%ff",
        "%e2%80%ae",
        "0" * 64,
        ";",
        "%0d%0a",
        "\\",
        "~",
        "+",
    ]
    for number in range(300):
        path = "".join(random_.choices(alphabet, k=random_.randint(1, 8)))
        method = random_.choice(["GET", "HEAD", "POST", "DELETE"])
        async with http.request(method, f"{base}/v1/_i/{path}", data=b"x") as response:
            assert 400 <= response.status < 500, (method, path)
        if number % 3 == 0:
            content = mutated(random_, whole)
            async with http.post(f"{base}/v1/_i", data=content) as response:
                assert response.status in {201, 202, 400, 409, 422}, content
                if response.status in {201, 202}:
                    await response.read()
    after = await asyncio.to_thread(_files, server.storage.directory)
    new = after - before
    assert all(path.name in {"invoice.toml", "invoices.sqlite-wal", "invoices.sqlite-shm"} for path in new), (
        new
    )


def _files(directory: Path) -> set[Path]:
    return {path for path in directory.parent.rglob("*") if path.is_file()}


def test_prose_with_many_dots_is_no_endless_key() -> None:
    prose = "One. Two. Three.four/five.six v1.2.3 " * 100
    invoice = make_invoice("a/1.0.0", {})
    described = msgspec.structs.replace(
        invoice, bindle=msgspec.structs.replace(invoice.bindle, description=prose)
    )
    assert parse_invoice(encode(described)) == described
