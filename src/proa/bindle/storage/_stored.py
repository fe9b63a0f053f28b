"""An invoice with its documents, each written only once."""

from dataclasses import dataclass

from proa.bindle.invoice import Format, Invoice, encode

__all__ = ("StoredInvoice",)


@dataclass(slots=True)
class StoredInvoice:
    """An invoice, and how it reads in either format where that is known already."""

    invoice: Invoice
    toml: bytes | None = None
    json: bytes | None = None

    def content(self, form: Format) -> bytes:
        """Return the document; it is written once."""
        if form == "json":
            self.json = self.json or encode(self.invoice, "json")
            return self.json
        self.toml = self.toml or encode(self.invoice)
        return self.toml
