"""Signatures: made and judged as the reference does it, to the byte."""

import base64
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.bindle import keys
from proa.bindle.errors import (
    BindleError,
    DuplicateSignatureError,
    InvalidSignatureError,
    KeyFileError,
    MissingRoleError,
    NoKnownKeyError,
    UnsignedError,
    VerificationError,
)
from proa.bindle.invoice import Invoice, Role, Signature
from proa.bindle.keys import Keyring, PublicKey, SecretKey, SecretKeys, is_small_order, verify
from proa.bindle.signing import (
    Strategy,
    parse_role,
    sign,
    sign_yank,
    signature_reports,
    signed_bytes,
    yanked_bytes,
)
from proa.bindle.testing import make_invoice

# The reference's scaffold `valid_v1`: its one parcel holds "a red one".
WARPCORE = make_invoice("enterprise.com/warpcore/1.0.0", {"isolinear_chip.txt": b"a red one"})
STARFLEET = "Starfleet Command <starfleet@ufp.com>"
GOLDEN = Signature(
    by=STARFLEET,
    signature="1oKW+2RXsE/lSXy3y+0MKKZDhnPModgTxfKuMSMMnVEZlgENIE9qOMTUrQga0QxSiAZiFH15fYkcveC8up8FDA==",
    key="Kcs1TSFDkN+dED0Y6Np0fPBqmvUz0EAULIlUsnlU1sw=",
    role="creator",
    at=1611960337,
)

creator = SecretKey.generate("Creator", ["creator"])
approver = SecretKey.generate("Approver", ["approver"])
host = SecretKey.generate("Host", ["host"])
proxy = SecretKey.generate("Proxy", ["proxy"])
KEYS: dict[Role, SecretKey] = {"creator": creator, "approver": approver, "host": host, "proxy": proxy}


def signed(*roles: Role) -> Invoice:
    invoice = WARPCORE
    for role in roles:
        invoice = sign(invoice, KEYS[role], role, 1)
    return invoice


def spoiled(invoice: Invoice, role: Role) -> Invoice:
    """Make the signature of a role one of something else."""
    wrong = KEYS[role].sign(b"something else")
    listed = invoice.signatures or []
    return msgspec.structs.replace(
        invoice,
        signatures=[msgspec.structs.replace(s, signature=wrong) if s.role == role else s for s in listed],
    )


def ring(*roles: Role) -> Keyring:
    return Keyring.of(*(KEYS[role].public() for role in roles))


def test_the_signed_bytes_are_those_of_the_reference() -> None:
    expected = (
        f"{STARFLEET}\nenterprise.com/warpcore\n1.0.0\ncreator\n~\n"
        "23f310b54076878fd4c36f0c60ec92011a8b406349b98dd37d08577d17397de5"
    )
    assert signed_bytes(WARPCORE, STARFLEET, "creator").decode() == expected


def test_the_references_own_signature_is_valid() -> None:
    (report,) = signature_reports(
        msgspec.structs.replace(WARPCORE, signatures=[GOLDEN]),
        Keyring.of(PublicKey(label="Starfleet", roles=["creator"], key=GOLDEN.key)),
    )
    assert report.trusted
    assert report.known_as == "Starfleet"


def test_the_time_is_not_signed_but_everything_else_is() -> None:
    def is_valid(**changes: object) -> bool:
        signature = msgspec.structs.replace(GOLDEN, **changes)
        changed = msgspec.structs.replace(WARPCORE, signatures=[signature])
        return signature_reports(changed, Keyring.of())[0].valid

    assert is_valid(at=0)
    assert not is_valid(by="Klingon Command")
    assert not is_valid(role="approver")
    assert not is_valid(key=creator.public().key)


@pytest.mark.parametrize("broken", ["", "?", "AAAA", GOLDEN.signature[:-4], GOLDEN.signature + "\n", "é"])
def test_a_damaged_signature_or_key_is_invalid_and_never_an_error(broken: str) -> None:
    for signature in (
        msgspec.structs.replace(GOLDEN, signature=broken),
        msgspec.structs.replace(GOLDEN, key=broken),
    ):
        changed = msgspec.structs.replace(WARPCORE, signatures=[signature])
        assert not signature_reports(changed, Keyring.of())[0].valid


def test_a_key_of_small_order_never_fits() -> None:
    neutral = (1).to_bytes(32, "little")
    assert is_small_order(neutral)
    # With the neutral element as key and nonce, S = 0 fits every message by the equation alone.
    assert not verify(neutral, neutral + bytes(32), b"anything")


@pytest.mark.parametrize("y", sorted(keys._SMALL_ORDER))
def test_the_listed_points_are_of_small_order(y: int) -> None:
    assert is_small_order((y | 1 << 255).to_bytes(32, "little"))
    # On the curve -x² + y² = 1 + d·x²·y²; doubling thrice must give the neutral element (0, 1).
    p = 2**255 - 19
    d = -121665 * pow(121666, -1, p) % p
    xx = (y * y - 1) * pow(d * y * y + 1, -1, p) % p
    x = pow(xx, (p + 3) // 8, p)
    x = x if (x * x - xx) % p == 0 else x * pow(2, (p - 1) // 4, p) % p
    assert (x * x - xx) % p == 0
    y %= p
    for _ in range(3):
        xy = d * x * x * y * y
        x, y = 2 * x * y * pow(1 + xy, -1, p) % p, (y * y + x * x) * pow(1 - xy, -1, p) % p
    assert (x, y) == (0, 1)


def test_a_key_signs_an_invoice_once() -> None:
    both = SecretKey.generate("Both", ["creator", "approver"])
    with pytest.raises(DuplicateSignatureError):
        sign(sign(WARPCORE, both, "creator", 1), both, "approver", 2)


def test_a_key_signs_only_in_its_roles() -> None:
    with pytest.raises(BindleError, match="may not sign as host, only as creator"):
        sign(WARPCORE, creator, "host", 1)


def test_a_yank_is_signed_with_time_and_reason() -> None:
    yanked = sign_yank(WARPCORE, host, 1234, "leaks plasma")
    assert yanked_bytes(yanked, "Host", 1234).decode() == (
        "Host\nenterprise.com/warpcore\n1.0.0\nhost\n1234\nyanked\n~\nleaks plasma"
    )
    (report,) = signature_reports(yanked, ring("host"))
    assert report.yank
    assert report.trusted
    silenced = msgspec.structs.replace(yanked, annotations=None)
    assert not signature_reports(silenced, ring("host"))[0].valid


Outcome = type[VerificationError] | None
CASES: list[tuple[str, Invoice, Keyring, Outcome]] = [
    # One known creator.
    ("CreativeIntegrity", signed("creator"), ring("creator"), None),
    ("AuthoritativeIntegrity", signed("creator"), ring("creator"), None),
    ("GreedyVerification", signed("creator"), ring("creator"), None),
    ("ExhaustiveVerification", signed("creator"), ring("creator"), None),
    ("MultipleAttestation[Creator]", signed("creator"), ring("creator"), None),
    ("MultipleAttestationGreedy[Host]", signed("creator"), ring("creator"), MissingRoleError),
    # A creator and a host, of whom the host is not known.
    ("CreativeIntegrity", signed("creator", "host"), ring("creator"), None),
    ("AuthoritativeIntegrity", signed("creator", "host"), ring("creator"), None),
    ("GreedyVerification", signed("creator", "host"), ring("creator"), NoKnownKeyError),
    ("ExhaustiveVerification", signed("creator", "host"), ring("creator"), NoKnownKeyError),
    ("MultipleAttestation[Host]", signed("creator", "host"), ring("creator"), NoKnownKeyError),
    ("MultipleAttestationGreedy[Host]", signed("creator", "host"), ring("host"), NoKnownKeyError),
    ("MultipleAttestation[Host]", signed("creator", "host"), ring("host"), None),
    ("MultipleAttestationGreedy[Creator, Host]", signed("creator", "host"), ring("host", "creator"), None),
    # An approver alone.
    ("CreativeIntegrity", signed("approver"), ring("approver"), MissingRoleError),
    ("AuthoritativeIntegrity", signed("approver"), ring("approver"), None),
    ("AuthoritativeIntegrity", signed("creator", "approver"), ring("approver"), None),
    ("AuthoritativeIntegrity", signed("creator", "approver"), ring("host"), NoKnownKeyError),
    ("GreedyVerification", signed("approver"), ring("approver"), MissingRoleError),
    ("ExhaustiveVerification", signed("approver"), ring("approver"), None),
    # A proxy whose signature does not fit.
    ("CreativeIntegrity", spoiled(signed("creator", "proxy"), "proxy"), ring("creator"), None),
    ("AuthoritativeIntegrity", spoiled(signed("creator", "proxy"), "proxy"), ring("creator"), None),
    (
        "GreedyVerification",
        spoiled(signed("creator", "proxy"), "proxy"),
        ring("creator"),
        InvalidSignatureError,
    ),
    (
        "ExhaustiveVerification",
        spoiled(signed("creator", "proxy"), "proxy"),
        ring("creator"),
        InvalidSignatureError,
    ),
    ("MultipleAttestation[Creator]", spoiled(signed("creator", "proxy"), "proxy"), ring("creator"), None),
    (
        "MultipleAttestationGreedy[Creator]",
        spoiled(signed("creator", "proxy"), "proxy"),
        ring("creator"),
        InvalidSignatureError,
    ),
    # A creator whose signature does not fit.
    ("CreativeIntegrity", spoiled(signed("creator"), "creator"), ring("creator"), InvalidSignatureError),
    ("AuthoritativeIntegrity", spoiled(signed("creator"), "creator"), ring("creator"), InvalidSignatureError),
    # Nobody.
    *(
        (name, WARPCORE, ring("creator"), UnsignedError)
        for name in (
            "CreativeIntegrity",
            "AuthoritativeIntegrity",
            "GreedyVerification",
            "ExhaustiveVerification",
            "MultipleAttestation[Creator]",
            "MultipleAttestationGreedy[Creator]",
        )
    ),
]


@pytest.mark.parametrize(("strategy", "invoice", "keyring", "outcome"), CASES)
def test_a_strategy_takes_and_refuses(
    strategy: str, invoice: Invoice, keyring: Keyring, outcome: Outcome
) -> None:
    if outcome is None:
        Strategy.parse(strategy).verify(invoice, keyring)
    else:
        with pytest.raises(outcome):
            Strategy.parse(strategy).verify(invoice, keyring)


@given(st.sampled_from([case[0] for case in CASES]), st.binary(min_size=64, max_size=64))
def test_no_strategy_takes_a_signature_made_of_noise(strategy: str, noise: bytes) -> None:
    forged = msgspec.structs.replace(
        signed("creator", "approver", "host", "proxy"),
        signatures=[
            msgspec.structs.replace(s, signature=base64.b64encode(noise).decode())
            for s in signed("creator", "approver", "host", "proxy").signatures or []
        ],
    )
    with pytest.raises(InvalidSignatureError):
        Strategy.parse(strategy).verify(forged, ring("creator", "approver", "host", "proxy"))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("creativeintegrity", "CreativeIntegrity"),
        (" multipleattestationgreedy [ host , c ] ", "MultipleAttestationGreedy[Host, Creator]"),
    ],
)
def test_a_strategy_is_read_in_any_case(text: str, written: str) -> None:
    assert str(Strategy.parse(text)) == written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "None",
        "CreativeIntegrity[Host]",
        "MultipleAttestation",
        "MultipleAttestation[]",
        "MultipleAttestation[King]",
    ],
)
def test_what_is_no_strategy_is_refused(text: str) -> None:
    with pytest.raises(BindleError):
        Strategy.parse(text)


@pytest.mark.parametrize(
    ("text", "role"), [("c", "creator"), ("Host", "host"), ("P", "proxy"), ("approver", "approver")]
)
def test_a_role_is_read_by_name_or_letter(text: str, role: Role) -> None:
    assert parse_role(text) == role


def test_key_files_survive_being_written_and_read(tmp_path: Path) -> None:
    secret, keyring = SecretKeys.of(creator, host), ring("creator", "host")
    secret.save(tmp_path / "deep" / "secret.toml")
    keyring.save(tmp_path / "keyring.toml")
    assert SecretKeys.load(tmp_path / "deep" / "secret.toml") == secret
    assert Keyring.load(tmp_path / "keyring.toml") == keyring
    assert (tmp_path / "deep" / "secret.toml").stat().st_mode & 0o777 == 0o600


def test_secret_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    SecretKeys.of(creator).save(tmp_path / "secret.toml")
    (tmp_path / "secret.toml").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        SecretKeys.load(tmp_path / "secret.toml")


def test_a_missing_file_is_an_error_unless_it_may_be_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        Keyring.load(tmp_path / "none")
    assert Keyring.load(tmp_path / "none", missing_ok=True) == Keyring.of()


def test_a_key_file_with_a_wrong_key_is_refused_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "keyring.toml"
    path.write_text('version = "1.0"\n[[key]]\nlabel = "x"\nroles = ["creator"]\nkey = "AAAA"\n')
    with pytest.raises(KeyFileError, match=r"key\[0\]: the key of 'x' is not base64 of 32 bytes"):
        Keyring.load(path)


def test_a_secret_key_shows_nothing(tmp_path: Path) -> None:
    assert creator.keypair not in repr(creator)
    assert creator.keypair not in repr(SecretKeys.of(creator))


def test_the_newest_key_of_a_role_signs() -> None:
    newer = SecretKey.generate("Creator", ["creator"])
    both = SecretKeys.of(creator, host).adding(newer)
    assert both.find("creator") == newer
    assert both.find("host") == host
    with pytest.raises(KeyFileError, match="no secret key labelled 'Nobody' for the role creator"):
        both.find("creator", "Nobody")


def test_what_an_older_key_signed_stays_valid_when_keys_rotate() -> None:
    newer = SecretKey.generate("Creator", ["creator"])
    keyring = ring("creator").adding([newer.public()])
    Strategy().verify(signed("creator"), keyring)
    Strategy().verify(sign(WARPCORE, newer, "creator", 1), keyring)


def test_a_label_that_its_key_does_not_vouch_for_is_not_taken() -> None:
    assert creator.public().label_is_signed()
    renamed = msgspec.structs.replace(creator.public(), label="Somebody else")
    with pytest.raises(KeyFileError, match="does not vouch"):
        Keyring.of().adding([renamed])
