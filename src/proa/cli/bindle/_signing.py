"""`sign-invoice`, `verify`, `keys`."""

import argparse
import asyncio
import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from proa.app import App
from proa.bindle.errors import BindleError, KeyFileError, VerificationError
from proa.bindle.invoice import Id, Invoice, Role, encode
from proa.bindle.keys import Keyring, PublicKey, SecretKey
from proa.bindle.signing import SignatureReport, parse_role, sign, signature_reports
from proa.cli.bindle._files import read_invoice, write_new
from proa.cli.bindle._options import keyring, open_client, secret_keys, strategy
from proa.cli.bindle._output import show, table, tell

__all__ = ("add_key", "create_key", "fetch_keys", "print_keys", "sign_invoice", "verify")


async def sign_invoice(_app: App, chosen: argparse.Namespace) -> None:
    """Sign an invoice into a new file."""
    invoice = await asyncio.to_thread(read_invoice, chosen.file)
    role = parse_role(chosen.role)
    key = await asyncio.to_thread(_signer, chosen, role)
    signed = sign(invoice, key, role, int(time.time()))
    out = chosen.out or Path(f"invoice-{invoice.id.sha256}.toml")
    await asyncio.to_thread(write_new, out, encode(signed))
    tell(f"signed as {role} by {key.label}: {out}")


def _signer(chosen: argparse.Namespace, role: Role) -> SecretKey:
    keys = secret_keys(chosen)
    if chosen.label_matching is None:
        return keys.find(role, chosen.label)
    labels = {key.label for key in keys.key if chosen.label_matching in key.label and role in key.roles}
    if len(labels) != 1:
        found = ", ".join(sorted(labels)) or "none"
        raise KeyFileError(f"one key for {role} must match {chosen.label_matching!r}; there are: {found}")
    return keys.find(role, labels.pop())


async def verify(_app: App, chosen: argparse.Namespace) -> int:
    """Say who signed what, and whether the strategy is satisfied; 1 where it is not."""
    invoice = await _subject(chosen)
    trusted = await asyncio.to_thread(keyring, chosen)
    reports = signature_reports(invoice, trusted)
    verdict = _verdict(invoice, chosen, trusted)
    if chosen.format == "json":
        tell(json.dumps(_account(invoice, reports, chosen.strategy, verdict)))
    else:
        rows = (
            (
                r.signature.role + " (yank)" * r.yank,
                r.signature.by,
                r.known_as or "unknown",
                _worth(r),
                _at(r),
            )
            for r in reports
        )
        table(("role", "signed by", "known as", "signature", "at"), rows)
        tell(f"{invoice.id}: {verdict or 'satisfies ' + chosen.strategy}")
    return 1 if verdict else 0


async def _subject(chosen: argparse.Namespace) -> Invoice:
    if await asyncio.to_thread(Path(chosen.subject).is_file):
        return await asyncio.to_thread(read_invoice, Path(chosen.subject))
    bindle = Id.parse(chosen.subject)
    async with open_client(chosen) as client:
        return await client.get_invoice(bindle, yanked=chosen.yanked)


def _verdict(invoice: Invoice, chosen: argparse.Namespace, trusted: Keyring) -> str | None:
    demanded = strategy(chosen)
    try:
        if demanded is not None:
            demanded.verify(invoice, trusted)
    except VerificationError as error:
        return str(error)
    return None


def _worth(report: SignatureReport) -> str:
    return "valid" if report.valid else "INVALID"


def _at(report: SignatureReport) -> str:
    try:
        return datetime.fromtimestamp(report.signature.at, UTC).isoformat().replace("+00:00", "Z")
    except (OverflowError, ValueError):
        return str(report.signature.at)


def _account(
    invoice: Invoice, reports: list[SignatureReport], demanded: str, verdict: str | None
) -> dict[str, object]:
    signatures = [
        {
            "role": report.signature.role,
            "by": report.signature.by,
            "key": report.signature.key,
            "at": report.signature.at,
            "valid": report.valid,
            "knownAs": report.known_as,
            "yank": report.yank,
        }
        for report in reports
    ]
    return {
        "id": str(invoice.id),
        "yanked": bool(invoice.yanked),
        "reason": invoice.yanked_reason,
        "strategy": demanded,
        "satisfied": verdict is None,
        "problem": verdict,
        "signatures": signatures,
    }


async def create_key(_app: App, chosen: argparse.Namespace) -> None:
    """Make a key, and trust it oneself."""
    key = SecretKey.generate(chosen.label, _roles(chosen.roles))

    def save() -> None:
        secret_keys(chosen).adding(key).save(Path(chosen.secrets_file))
        if not chosen.skip_keyring:
            keyring(chosen).adding([key.public()]).save(Path(chosen.keyring))

    await asyncio.to_thread(save)
    tell(key.public().key)


async def add_key(_app: App, chosen: argparse.Namespace) -> None:
    """Trust a key."""
    try:
        entry = PublicKey(label=chosen.label, roles=_roles(chosen.roles), key=chosen.key)
    except ValueError as error:
        raise BindleError(str(error)) from None
    await asyncio.to_thread(_trust, chosen, [entry])


async def print_keys(_app: App, chosen: argparse.Namespace) -> None:
    """Print one's own public keys as a keyring that others can take."""
    keys = await asyncio.to_thread(secret_keys, chosen)
    show(Keyring.of(*(k.public() for k in keys.key if chosen.label_matching in k.label)), "toml")


async def fetch_keys(_app: App, chosen: argparse.Namespace) -> None:
    """Trust the keys that a server publishes."""
    if not chosen.host:
        chosen.server = chosen.key_server or os.environ.get("BINDLE_KEY_SERVER") or chosen.server
    async with open_client(chosen) as client:
        fetched = await client.host_keys()
    await asyncio.to_thread(_trust, chosen, fetched.key)


def _trust(chosen: argparse.Namespace, keys: list[PublicKey]) -> None:
    before = keyring(chosen)
    after = before.adding(keys)
    after.save(Path(chosen.keyring))
    tell(f"{len(after.key) - len(before.key)} keys added to {chosen.keyring}")


def _roles(text: str) -> list[Role]:
    return [parse_role(role) for role in text.split(",") if role.strip()]
