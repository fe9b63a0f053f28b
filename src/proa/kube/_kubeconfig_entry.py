"""A cluster, user or context of a kubeconfig: its fields, read strictly, with errors that say where."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proa.kube.errors import ConfigError


@dataclass(frozen=True)
class Entry:
    """A cluster, user or context, with the file it stands in."""

    file: Path
    label: str
    """How messages call it: `user "admin" of context "dev"`."""
    values: Mapping[str, Any]

    def fail(self, name: str, problem: str) -> ConfigError:
        """Return the error for one of its fields."""
        return ConfigError(f"{self.file}: {self.label}: {name}: {problem}")

    def text(self, name: str) -> str | None:
        """Return a field that must be text; an empty one counts as absent."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self.fail(name, f"must be text, not {type(value).__name__}")
        return value or None

    def flag(self, name: str) -> bool:
        """Return a field that must be true or false; absent is false."""
        value = self.values.get(name) or False
        if not isinstance(value, bool):
            raise self.fail(name, "must be true or false")
        return value

    def path(self, name: str) -> Path | None:
        """Return a file name, relative to the file that it stands in."""
        text = self.text(name)
        return self.file.absolute().parent / text if text else None

    def data(self, name: str) -> bytes | None:
        """Return `NAME-data`, decoded, or else what the file `NAME` holds."""
        if encoded := self.text(f"{name}-data"):
            try:
                return base64.b64decode("".join(encoded.split()), validate=True)
            except (binascii.Error, ValueError) as error:
                raise self.fail(f"{name}-data", f"is not base64 ({error})") from error
        path = self.path(name)
        return None if path is None else self.read(name, path)

    def read(self, name: str, path: Path) -> bytes:
        """Return what a file holds that a field names."""
        try:
            return path.read_bytes()
        except OSError as error:
            raise self.fail(name, f"cannot read {path}: {error.strerror}") from error

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a field that must be a list of texts; absent is empty."""
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.fail(name, "must be a list of texts")
        return tuple(value)

    def within(self, name: str) -> Entry | None:
        """Return a field that must be a map, as an entry of its own."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.fail(name, "must be a map")
        return Entry(self.file, f"{self.label}: {name}", value)
