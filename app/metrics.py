"""Every metric of the engine, in one place: name, kind, labels, meaning.

Base units; ``_total`` on counters only. A partition is a label on gauges alone, and is removed when the partition is
given up. ``reason`` is a closed list.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of no use here

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LATENCY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 86400.0)


class Metrics:
    """Registers itself in ``registry``; one per worker process."""

    def __init__(self, registry: CollectorRegistry) -> None:
        p = ("pipeline",)
        pt = ("pipeline", "topic")
        ptp = ("pipeline", "topic", "partition")

        def counter(name: str, help_: str, labels: tuple[str, ...]) -> Counter:
            return Counter(name, help_, labels, registry=registry)

        def gauge(name: str, help_: str, labels: tuple[str, ...]) -> Gauge:
            return Gauge(name, help_, labels, registry=registry)

        def histogram(name: str, help_: str, labels: tuple[str, ...], buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, help_, labels, buckets=buckets, registry=registry)

        self.registry = registry
        self.consumed = counter("records_consumed_total", "Input records taken into committed transactions", pt)
        self.produced = counter("records_produced_total", "Output and changelog records committed", p)
        self.dedup_checks = counter("dedup_checks_total", "Event ids looked up", p)
        self.dedup_hits = counter("dedup_hits_total", "Repeats dropped", p)
        self.conflicts = counter("dedup_conflicts_total", "Known event ids that came with another body", p)
        self.dead_letters = counter(
            "dlq_records_total", "Messages sent to the dead letters", ("pipeline", "topic", "reason")
        )
        self.parked_events = gauge("parked_events", "Events waiting for reference data", ("pipeline", "partition"))
        self.rekeyed = counter("rekeyed_records_total", "Messages sent on to their key's partition", pt)
        self.commit_seconds = histogram(
            "commit_duration_seconds", "Producing and committing one transaction", p, _SECONDS
        )
        self.batch_seconds = histogram("record_processing_seconds", "Agents' time for one micro-batch", p, _SECONDS)
        self.batch_records = histogram(
            "batch_records", "Events in one micro-batch", p, (1, 10, 100, 500, 1000, 2500, 5000, 10000)
        )
        self.latency = histogram(
            "record_e2e_latency_seconds", "Event's occurrence to commit; one event in 64", p, _LATENCY
        )
        self.aborts = counter("transaction_aborts_total", "Transactions rolled back and tried again", p)
        self.commit_failures = counter("commit_failures_total", "Transactions whose producer had to be rebuilt", p)
        self.rebalances = counter("rebalances_total", "Assignment changes", p)
        self.assigned = gauge("assigned_partitions", "Partitions of the pipeline on this worker", p)
        self.lag = gauge("consumer_lag_records", "Input records not yet committed", ptp)
        self.position = gauge("consumer_position_offset", "Committed input offset", ptp)
        self.lag_seconds = gauge(
            "consumer_lag_seconds", "Age of the oldest input record not yet committed; 0 when caught up",
            ("pipeline", "partition"),
        )  # fmt: skip
        self.restore_active = gauge("restore_active", "Partitions whose state is being restored", p)
        self.restore_remaining = gauge("restore_remaining_records", "Changelog records still to restore", p)
        self.restored = counter("restore_records_total", "Changelog records restored", p)
        self.restore_seconds = histogram(
            "restore_duration_seconds", "Restoring one partition", p, (0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
        )
        self.store_bytes = gauge("state_store_bytes", "Bytes of a table on disk", ("pipeline", "table"))
        self.store_keys = gauge("state_store_keys_estimate", "Estimated keys of a table", ("pipeline", "table"))
        self.worker_state = gauge("worker_state", "1 for the state the pipeline is in", ("pipeline", "state"))
        self.build_info = gauge("build_info", "1, labelled with the version", ("version",))
