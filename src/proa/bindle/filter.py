"""Which parcels of an invoice somebody needs: groups, what they require, and features. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from proa.bindle.errors import UnsatisfiedGroupError
from proa.bindle.invoice import Group, Invoice, Parcel

__all__ = ("Filter",)


@dataclass(frozen=True, kw_only=True)
class Filter:
    """A choice of groups and features.

    Attributes:
        with_groups: groups wanted beside those that the invoice requires.
        without_groups: groups not wanted, even where the invoice requires them. What a chosen parcel needs
            comes along all the same.
        activate: section, then key, to value: a parcel whose section lacks the key, or has another value, is
            left out. A parcel without the section passes.
        deactivate: the same with the opposite meaning: a parcel that has the value is left out. It wins.
    """

    with_groups: Collection[str] = ()
    without_groups: Collection[str] = ()
    activate: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    deactivate: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def select(self, invoice: Invoice) -> list[Parcel]:
        """Return the parcels that are needed, in the invoice's order.

        A parcel in no group is always needed. Groups that need each other in a circle are taken once. Of a
        `oneOf` group the first parcel that the features let pass is taken; of others all of them.

        Raises:
            UnsatisfiedGroupError: a group that is needed has members, and the features left none of them.
        """
        groups = {group.name: group for group in reversed(invoice.groups or [])}
        chosen = self._first_groups(groups)
        taken: dict[int, Parcel] = {}
        candidates = [(at, p) for at, p in enumerate(invoice.parcels or []) if self._passes(p)]
        waiting = [(at, parcel) for at, parcel in candidates if not parcel.groups]
        pending = list(dict.fromkeys(chosen))
        seen = set(pending)
        while waiting or pending:
            for at, parcel in waiting:
                taken[at] = parcel
                pending += [name for name in dict.fromkeys(parcel.requires) if name not in seen]
                seen.update(parcel.requires)
            waiting = []
            if pending:
                waiting = _members(invoice, candidates, pending.pop(0), groups, taken)
        return [taken[at] for at in sorted(taken)]

    def _first_groups(self, groups: Mapping[str, Group]) -> list[str]:
        required = [name for name, group in groups.items() if group.required]
        return [name for name in [*required, *self.with_groups] if name not in self.without_groups]

    def _passes(self, parcel: Parcel) -> bool:
        features = parcel.label.feature or {}
        for section, wanted in self.activate.items():
            if section in features and any(features[section].get(k) != v for k, v in wanted.items()):
                return False
        for section, unwanted in self.deactivate.items():
            if section in features and any(features[section].get(k) == v for k, v in unwanted.items()):
                return False
        return True


def _members(
    invoice: Invoice,
    candidates: list[tuple[int, Parcel]],
    name: str,
    groups: Mapping[str, Group],
    taken: Mapping[int, Parcel],
) -> list[tuple[int, Parcel]]:
    """Return what satisfies the group of that name and is not taken yet."""
    kind = (groups[name].satisfied_by if name in groups else None) or "allOf"
    members = [(at, parcel) for at, parcel in candidates if name in parcel.groups]
    if not members and kind not in {"optional", "anyOf"}:
        if any(name in parcel.groups for parcel in invoice.parcels or []):
            raise UnsatisfiedGroupError(
                f"{invoice.id}: no parcel of group {name!r} has the features that are wanted"
            )
        return []
    if kind == "oneOf":
        members = [] if any(at in taken for at, _ in members) else members[:1]
    return [(at, parcel) for at, parcel in members if at not in taken]
