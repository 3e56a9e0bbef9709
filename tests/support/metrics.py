"""Reads the metrics of a running service."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from fastscp.metrics.table import BY_NAME

Samples = dict[str, dict[tuple[str, ...], float]]  #: by name, then by the values of the labels


def samples_of(text: str) -> Samples:
    """Read the text format of Prometheus; labels are in the order of the table."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        metric = BY_NAME.get(family.name)
        names = () if metric is None else metric.labels
        for sample in family.samples:
            labels = [sample.labels[name] for name in (*names, "le") if name in sample.labels]
            found.setdefault(sample.name, {})[tuple(labels)] = sample.value
    return found


class Scraper:
    """A client of ``--metrics``."""

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(self.base + path, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def json(self, path: str) -> Any:
        return json.loads(self.get(path)[1])

    def samples(self) -> Samples:
        return samples_of(self.get("/metrics")[1].decode())

    def value(self, name: str, *labels: str) -> float:
        return self.samples().get(name, {}).get(labels, 0.0)

    def sum(self, name: str) -> float:
        return sum(self.samples().get(name, {}).values())


def growing(samples: Samples) -> Samples:
    """Return those that may never go back."""
    return {name: values for name, values in samples.items() if name.endswith(("_total", "_count", "_bucket", "_sum"))}


def went_back(before: Samples, after: Samples) -> list[str]:
    """Return which of those that may never go back did."""
    return [f"{name}{labels}: {value} -> {after.get(name, {}).get(labels)}" for name, values in growing(before).items()
            for labels, value in values.items() if after.get(name, {}).get(labels, -1.0) < value]
