"""Master data as tables, and as the domain asks for it. Complete on every worker, kept as long as their topics are."""

from __future__ import annotations

from agents import topics
from app.domain.records import CostCenter, Item, ItemLocation, Location, Supplier
from app.runtime.master import MasterTable

items: MasterTable[Item] = MasterTable(topics.items, lambda m: f"item:{m.item}")
locations: MasterTable[Location] = MasterTable(topics.locations, lambda m: f"location:{m.facility}|{m.location}")
item_locations: MasterTable[ItemLocation] = MasterTable(
    topics.item_locations, lambda m: f"item-location:{topics.position_key(m)}"
)
suppliers: MasterTable[Supplier] = MasterTable(topics.suppliers, lambda m: f"supplier:{m.supplier}")
cost_centers: MasterTable[CostCenter] = MasterTable(topics.cost_centers, lambda m: f"cost-center:{m.cost_center}")

ALL = (items, locations, item_locations, suppliers, cost_centers)


class MasterReference:
    """The domain's Reference, backed by the tables above; changes between batches only."""

    @property
    def version(self) -> str:
        return (
            f"items@{items.version},locations@{locations.version},item-locations@{item_locations.version},"
            f"suppliers@{suppliers.version},cost-centers@{cost_centers.version}"
        )

    def item(self, item: str) -> Item | None:
        return items.get(item)

    def location(self, facility: str, location: str) -> Location | None:
        return locations.get(f"{facility}|{location}")

    def item_location(self, facility: str, location: str, item: str) -> ItemLocation | None:
        return item_locations.get(f"{facility}|{location}|{item}")

    def cost_center(self, cost_center: str) -> CostCenter | None:
        return cost_centers.get(cost_center)

    def supplier(self, supplier: str) -> Supplier | None:
        return suppliers.get(supplier)


reference = MasterReference()
