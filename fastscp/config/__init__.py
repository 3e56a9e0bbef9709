"""The whole configuration as frozen objects, composed from each layer's policies."""

from fastscp.config.model import Config

__all__ = ["Config"]
