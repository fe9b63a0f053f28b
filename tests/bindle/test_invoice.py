"""Invoices: read and written without loss, and nothing taken that could become a path or a header."""

import string
import tomllib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.bindle.errors import InvalidIdError, InvalidInvoiceError
from proa.bindle.invoice import (
    Bindle,
    Conditions,
    Format,
    Group,
    Id,
    Invoice,
    Label,
    Parcel,
    Signature,
    encode,
    parse_invoice,
)

MINIMAL = b"""
bindleVersion = "1.0.0"
[bindle]
name = "enterprise.com/warpcore"
version = "1.0.0"
"""
PARCEL = b"""
[[parcel]]
[parcel.label]
sha256 = "23f310b54076878fd4c36f0c60ec92011a8b406349b98dd37d08577d17397de5"
mediaType = "text/plain"
name = "isolinear_chip.txt"
size = 9
"""


def options(strategy: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | strategy


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = st.from_regex(r"[\w][\w.+~-]{0,8}(/[\w][\w.+~-]{0,8}){0,2}", fullmatch=True).filter(
    lambda name: unicodedata.normalize("NFC", name) == name
)
versions = st.builds(
    "{}.{}.{}{}".format,
    *[st.integers(0, 10**18)] * 3,
    st.sampled_from(["", "-alpha.1", "+build.7", "-0a.b-c+0"]),
)
digests = st.text(string.ascii_letters + string.digits, min_size=1, max_size=64).filter(str.isascii)
sizes = st.integers(0, 2**63 - 1)
maps = st.dictionaries(text, text, max_size=3)
signatures = st.builds(
    Signature,
    by=text,
    signature=text,
    key=text,
    role=st.sampled_from(["creator", "approver", "host", "proxy"]),
    at=sizes,
)
parcels = st.builds(
    Parcel,
    label=st.builds(
        Label,
        sha256=digests,
        media_type=text,
        name=text,
        size=sizes,
        annotations=options(maps),
        feature=options(st.dictionaries(text, maps, max_size=2)),
        origin=options(text),
    ),
    conditions=options(
        st.builds(
            Conditions,
            member_of=options(st.lists(text, max_size=2)),
            requires=options(st.lists(text, max_size=2)),
        )
    ),
)
invoices = st.builds(
    Invoice,
    bindle_version=text,
    yanked=options(st.booleans()),
    yanked_signatures=options(st.lists(signatures, max_size=2)),
    bindle=st.builds(
        Bindle,
        name=names,
        version=versions,
        description=options(text),
        authors=options(st.lists(text, max_size=2)),
    ),
    annotations=options(maps),
    parcels=options(st.lists(parcels, max_size=3)),
    groups=options(
        st.lists(
            st.builds(Group, name=text, required=options(st.booleans()), satisfied_by=options(text)),
            max_size=2,
        )
    ),
    signatures=options(st.lists(signatures, max_size=2)),
)


@pytest.mark.parametrize("form", ["toml", "json"])
@given(invoice=invoices)
def test_an_invoice_survives_being_written_and_read(form: Format, invoice: Invoice) -> None:
    assert parse_invoice(encode(invoice, form), form) == invoice


@given(invoices)
def test_toml_and_json_hold_the_same(invoice: Invoice) -> None:
    from_toml = parse_invoice(encode(invoice, "toml"))
    assert parse_invoice(encode(from_toml, "json"), "json") == invoice


def test_an_absent_key_is_not_written() -> None:
    assert set(tomllib.loads(encode(parse_invoice(MINIMAL)).decode())) == {"bindleVersion", "bindle"}


def test_the_storage_key_is_that_of_the_reference() -> None:
    key = "1927aefa8fdc8327499e918300e2e49ecb271321530cc5881fcd069ca8372dcd"
    assert Id.parse("enterprise.com/warpcore/1.0.0").sha256 == key


@pytest.mark.parametrize("prefix", ["", "bindle:"])
def test_an_id_is_split_at_its_last_slash(prefix: str) -> None:
    assert Id.parse(f"{prefix}example.com/all/dressed/1.0.0+a") == Id("example.com/all/dressed", "1.0.0+a")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "name",
        "name/",
        "/1.0.0",
        "a//1.0.0",
        "a//b/1.0.0",
        "/a/1.0.0",
        "../1.0.0",
        "a/../b/1.0.0",
        "./1.0.0",
        "a b/1.0.0",
        "a@b/1.0.0",
        "a%2e/1.0.0",
        "a\n/1.0.0",
        "a\0/1.0.0",
        "a\\b/1.0.0",
        "a?/1.0.0",
        "a/1.0",
        "a/v1.0.0",
        "a" * 2000 + "/1.0.0",
        "e\u0301/1.0.0",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidIdError):
        Id.parse(text)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        (b"bindleVersion = 1", "Object missing required field `bindle`|bindleVersion"),
        (MINIMAL + b"[bindle.more]\n", "bindle: .*unknown field `more`"),
        (b'surplus = "x"\n' + MINIMAL, "unknown field `surplus`"),
        (
            MINIMAL.replace(b'version = "1.0.0"\n', b'version = "1.0"\n'),
            "bindle: '1.0' is not a semantic version",
        ),
        (MINIMAL + PARCEL.replace(b"size = 9", b"size = -1"), r"parcel\[0\].label.size"),
        (MINIMAL + PARCEL.replace(b"size = 9", b"size = 9.0"), r"parcel\[0\].label.size"),
        (MINIMAL + PARCEL.replace(b"size = 9", b"size = 1979-05-27"), r"parcel\[0\].label.size"),
        (MINIMAL + PARCEL.replace(b"23f3", b"../."), r"parcel\[0\].label.sha256"),
        (MINIMAL + PARCEL.replace(b"7de5", b"7de5\\n"), r"parcel\[0\].label.sha256"),
        (b"[[[", "not TOML"),
        (b"\xff", "UTF-8"),
        (b"a = " + b"[" * 5000, "not TOML"),
    ],
)
def test_what_is_no_invoice_is_refused_with_the_field(document: bytes, told: str) -> None:
    with pytest.raises(InvalidInvoiceError, match=told):
        parse_invoice(document)


def test_the_specifications_spelling_of_a_yank_is_read() -> None:
    invoice = parse_invoice(b'yanked = true\nyanked_reason = "leaks"\nyanked_signature = []\n' + MINIMAL)
    assert (invoice.yanked, invoice.yanked_reason, invoice.yanked_signatures) == (True, "leaks", [])
    assert b"yanked_reason" not in encode(invoice)  # the reference would refuse it
    assert parse_invoice(encode(invoice)) == invoice


def test_labels_name_each_digest_once() -> None:
    invoice = parse_invoice(MINIMAL + PARCEL + PARCEL)
    assert len(invoice.parcels or []) == 2
    assert len(invoice.labels) == 1
