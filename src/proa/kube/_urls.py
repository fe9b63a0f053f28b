"""Which URLs a configuration may name."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

PROXIES = ("http", "https", "socks5", "socks5h")


def is_url(text: str, schemes: Sequence[str]) -> bool:
    """Tell whether a text is a URL of one of the schemes, with a host."""
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
