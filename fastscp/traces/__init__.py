"""Traces for OpenTelemetry: what of the event stream they are made of, and the process that exports them."""
