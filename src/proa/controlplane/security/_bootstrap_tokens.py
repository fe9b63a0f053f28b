"""Bootstrap tokens: short-lived credentials with which new nodes join, each kept in a secret. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from datetime import UTC, datetime

from proa.controlplane._json import Document

TYPE = "bootstrap.kubernetes.io/token"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


def secret_name(token: str) -> str | None:
    """The name of the secret (in kube-system) that a token would be kept in; None if it is no such token."""
    match = _TOKEN.fullmatch(token)
    return f"bootstrap-token-{match[1]}" if match else None


def bootstrap_identity(
    secret: Document, token: str, now: datetime | None = None
) -> tuple[str, list[str]] | None:
    """The user name and groups of a token, by its secret; None if it is not valid."""
    values = _values(secret)
    if secret.get("type") != TYPE or "deletionTimestamp" in secret["metadata"]:
        return None
    known = f"{values.get('token-id', '')}.{values.get('token-secret', '')}"
    if not hmac.compare_digest(known, token) or values.get("usage-bootstrap-authentication") != "true":
        return None
    if _is_over(values.get("expiration", ""), now or datetime.now(UTC)):
        return None
    extra = [group for group in values.get("auth-extra-groups", "").split(",") if group]
    if not all(map(_GROUP.fullmatch, extra)):
        return None
    return f"system:bootstrap:{values['token-id']}", ["system:bootstrappers", *extra]


def _values(secret: Document) -> dict[str, str]:
    try:
        return {key: base64.b64decode(value).decode() for key, value in secret.get("data", {}).items()}
    except (binascii.Error, ValueError):
        return {}


def _is_over(expiration: str, now: datetime) -> bool:
    if not expiration:
        return False
    try:
        moment = datetime.fromisoformat(expiration)
    except ValueError:
        return True
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) <= now
