"""The table of docs/metrics.md, written from the table of metrics."""

from __future__ import annotations

from fastscp.metrics.table import METRICS, Kind, Metric

_HEAD = """\
# Metrics, health, live view

```sh
fastscp --metrics 9100 -od /data/in 11112
```

```sh
curl http://127.0.0.1:9100/metrics
```

It needs some packages more: `pip install 'fastscp[metrics]'`.

`--metrics [ADDRESS:]PORT` listens on the loopback address unless it is given another: `--metrics 0.0.0.0:9100`, `--metrics
[::1]:9100`. What is served is read-only and has no password. Give it an address that only your monitoring can reach.

| path | what it is |
| --- | --- |
| `/` | the live page |
| `/metrics` | the metrics below, in the text format of Prometheus, or OpenMetrics where it is asked for |
| `/healthz` | 200 while every kind of process lives, else 503; JSON with each check |
| `/readyz` | 200 while new associations are welcome: connections are accepted, the service does not stop, the output directory is there, and more is free on its disk than `--min-free`; else 503; JSON with each check. With `"degraded": true` the database of the [fleet](fleet.md) or the [object store](object-store.md) is away, and receiving goes on |
| `/status` | JSON: all of it, with associations, refusals, studies, hooks and processes |
| `/events` | the same as server-sent events, every two seconds |

A process of its own serves them, the *monitor*. It reads memory that the others count in, so no client can hold up an
association, and numbers survive the death of any process ([ADR 26](adr/0026-counted-in-shared-memory.md)).

An object is counted before it is answered: what a sender was told is never more than what was counted.

While only this machine is listened to, a request has to name it (an address, `localhost` or its host name), so that a web page
whose name leads to the loopback address reads nothing.

## Live view

Open `http://127.0.0.1:9100/` in a browser: throughput and associations of the last five minutes, who is connected and what is
being received, studies, hooks, disks, the last refusals with their reasons. The page loads nothing from elsewhere.

![The live page: throughput, associations, what is being received, studies, hooks.](images/live.png)

```sh
fastscp-top --once
```

prints the same in a terminal. Without `--once` it stays and follows; `fastscp-top gateway:9100 --interval 5` looks at another machine.

## Prometheus and Grafana

```yaml
scrape_configs:
  - job_name: fastscp
    static_configs:
      - targets: ["127.0.0.1:9100"]
rule_files:
  - fastscp-alerts.yml
```

[docs/examples/monitoring/](examples/README.md) has alert rules
([fastscp-alerts.yml](examples/monitoring/fastscp-alerts.yml), with a [test](examples/monitoring/fastscp-alerts-test.yml) that shows when they
fire) and a dashboard for Grafana ([fastscp-dashboard.json](examples/monitoring/fastscp-dashboard.json)).

## Metrics

Counters begin at 0 with the service and never go back while it runs, SIGHUP and SIGUSR2 included. SOP classes and transfer syntaxes have
their names, `other` stands for those without one. Application entity titles are told apart up to a number of 256 in all, further ones
are `other` too. No UID is a label.

| metric | kind | labels | what it says |
| --- | --- | --- | --- |
"""


def metrics_markdown() -> str:
    """Return docs/metrics.md."""
    return _HEAD + "".join(f"{_row(metric)}\n" for metric in METRICS)


def _row(metric: Metric) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    kind = f"histogram up to {metric.bounds[-1]:g} s" if metric.kind is Kind.HISTOGRAM else metric.kind.value
    return f"| `{metric.exposed}` | {kind} | {labels} | {metric.help} |"
