"""The monitor process: serves what the service counts, as metrics, health, status and a live page."""
