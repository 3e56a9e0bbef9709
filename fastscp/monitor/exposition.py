"""The metrics as Prometheus reads them: its text format and OpenMetrics, by prometheus_client."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.registry import Collector, CollectorRegistry

from fastscp.metrics.table import METRICS, Kind, Metric
from fastscp.monitor.totals import Totals


def exposition(totals: Totals, accept: str) -> tuple[str, bytes]:
    """Return content type and text of the metrics, in the format that ``accept`` prefers."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Totals(totals))
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


class _Totals(Collector):
    """The totals as prometheus_client wants them."""

    def __init__(self, totals: Totals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Family]:
        """Yield a family for each metric that has a value; one without labels has one in any case."""
        for metric in METRICS:
            values = self._totals.values[metric] or ({} if metric.labels else {(): [0.0] * metric.cells})
            if values:
                yield family(metric, values)

    def describe(self) -> list[Family]:
        """Say nothing in advance."""
        return []


def family(metric: Metric, values: dict[tuple[str, ...], list[float]]) -> Family:
    """Return one metric with all its values."""
    if metric.kind is Kind.HISTOGRAM:
        histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, cells in sorted(values.items()):
            histogram.add_metric(labels, buckets(metric, cells), cells[-1])
        return histogram
    made = (CounterMetricFamily if metric.kind is Kind.COUNTER else GaugeMetricFamily)(metric.name, metric.help,
                                                                                      labels=metric.labels)
    for labels, cells in sorted(values.items()):
        made.add_metric(labels, cells[0])
    return made


def buckets(metric: Metric, cells: list[float]) -> list[tuple[str, float]]:
    """Return the buckets of a histogram, each with all below it."""
    reached, found = 0.0, []
    for bound, count in zip((*map(str, metric.bounds), "+Inf"), cells, strict=False):
        reached += count
        found.append((bound, reached))
    return found
