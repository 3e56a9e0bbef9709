"""What is logged, where, and in which shape."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LogPolicy:
    """``-q -v -d +v -ll -lc --log-json``. ``level`` is one of fatal, error, warn, info, debug, trace."""

    level: str = "warn"
    config_file: str | None = None  #: ``-lc``; excludes ``level``
    json: bool = False  #: ``--log-json``
    presentation_contexts: bool = False  #: ``+v``: presentation contexts of each association at info level
    application: str = "fastscp"  #: ``${appname}`` of configuration files: base name of argv[0]

    @property
    def names_peers(self) -> bool:
        """Whether associations are logged, with their peers. Of a configuration file that is assumed."""
        return self.config_file is not None or self.level in {"info", "debug", "trace"}
