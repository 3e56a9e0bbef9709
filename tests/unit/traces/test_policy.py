"""What ``--otlp`` takes, and what it says without the SDK."""

from __future__ import annotations

import pytest

from fastscp.errors import UsageError
from fastscp.traces import policy
from fastscp.traces.policy import TracesPolicy, traces_policy


@pytest.mark.parametrize(("text", "endpoint"), [
    ("http://collector:4318", "http://collector:4318/v1/traces"),
    ("http://collector:4318/", "http://collector:4318/v1/traces"),
    ("https://collector/own/path", "https://collector/own/path"),
    ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ("http://collector:4318/v1/traces?tenant=a", "http://collector:4318/v1/traces?tenant=a"),
])
def test_endpoints(text, endpoint):
    assert traces_policy(text) == TracesPolicy(endpoint)


def test_nowhere():
    assert traces_policy(None) is None


@pytest.mark.parametrize("text", ["", "collector:4318", "grpc://collector:4317", "http://", "http:///v1/traces", "http://collector:port", "http://c:70000"])
def test_what_is_no_endpoint(text):
    with pytest.raises(UsageError, match=r"Invalid value for option --otlp \(") as raised:
        traces_policy(text)
    assert raised.value.option == "--otlp"


@pytest.mark.parametrize("missing", ["opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter"])
def test_what_is_missing_is_said_at_the_start(monkeypatch, missing):
    present = policy.find_spec
    monkeypatch.setattr(policy, "find_spec", lambda name: None if name == missing else present(name))
    with pytest.raises(UsageError, match=f"--otlp needs the OpenTelemetry SDK, and there is no {missing}: pip install 'fastscp\\[otlp\\]'"):
        traces_policy("http://collector:4318")


def test_a_package_around_it_may_be_missing(monkeypatch):
    def find(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(policy, "find_spec", find)
    with pytest.raises(UsageError, match="pip install"):
        traces_policy("http://collector:4318")
