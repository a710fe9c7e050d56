"""What the rules ask of master data."""

from __future__ import annotations

from typing import Protocol

from app.domain.records import CostCenter, Item, ItemLocation, Location, Supplier


class Reference(Protocol):
    """Master data as of one version. Every look-up answers at once, None where nothing is known under that name."""

    @property
    def version(self) -> str:
        """Which master data a decision saw: ``items@12,locations@7,…``, the offset reached in each topic."""
        ...

    def item(self, item: str) -> Item | None: ...

    def location(self, facility: str, location: str) -> Location | None: ...

    def item_location(self, facility: str, location: str, item: str) -> ItemLocation | None: ...

    def cost_center(self, cost_center: str) -> CostCenter | None: ...

    def supplier(self, supplier: str) -> Supplier | None: ...
