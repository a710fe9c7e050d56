"""The agent that tracks purchase orders: what was ordered, what of it came, and which position is to hear of it."""

from __future__ import annotations

from agents import topics
from agents.deciding import id_conflict, publish, source_of
from app.domain import purchasing
from app.runtime.agents import agent
from app.runtime.batch import Batches
from tables.master import reference
from tables.purchase_orders import purchase_orders


@agent(topics.purchase_orders, topics.receipts, owns=(purchase_orders,), conflict=id_conflict)
async def track_orders(batches: Batches) -> None:
    async for batch in batches:
        for event in batch:
            order = purchase_orders.get(event.key)
            decision = purchasing.decide(event.value, source_of(event), order, event.key, reference)
            if decision.missing is not None:
                batch.park(event, decision.missing)
                continue
            if decision.order is not None:
                purchase_orders.put(event.key, decision.order)
            publish(batch, decision.outputs)
