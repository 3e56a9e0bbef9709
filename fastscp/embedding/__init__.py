"""The service inside a program in Python: ``fastscp.Receiver`` (docs/embedding.md)."""
