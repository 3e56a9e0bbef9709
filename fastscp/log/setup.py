"""Turns a :class:`LogPolicy` into appenders of the standard ``logging``."""

from __future__ import annotations

import logging
import sys

from fastscp.log import names
from fastscp.log.appenders import ConsoleAppender
from fastscp.log.pattern import PatternLayout
from fastscp.log.policy import LogPolicy

#: What storescp uses without ``--log-config``: the level's letter before each line.
DEFAULT_PATTERN = "%P: %m%n"


def configure(policy: LogPolicy) -> None:
    """Replace whatever logging is set up with what ``policy`` says.

    Call it before processes are forked, so that they share locks. Problems of a configuration file that storescp
    survives are reported on stderr. Raises :class:`fastscp.errors.UsageError` for the others.
    """
    logging.addLevelName(names.TRACE, "TRACE")
    logging.raiseExceptions = False
    logging.lastResort = None  # a logger without appenders is silent
    if policy.config_file is None:
        reset()
        root = logging.getLogger()
        root.setLevel(names.LEVELS[policy.level])
        root.addHandler(_json_appender() if policy.json else ConsoleAppender(PatternLayout(DEFAULT_PATTERN)))
        return
    from fastscp.log import configuration, properties  # noqa: PLC0415 - only needed with -lc

    built = configuration.build(properties.load(policy.config_file, policy.application))
    for problem in built.problems:
        sys.stderr.write(f"E: {policy.config_file}: {problem}\n")
    reset()
    configuration.apply(built)


def files() -> list[str]:
    """Return the paths of the files that the log is written to."""
    paths = (getattr(handler, "path", None) for logger in _loggers() for handler in logger.handlers)
    return [path for path in paths if isinstance(path, str)]


def _loggers() -> list[logging.Logger]:
    root = logging.getLogger()
    return [root, *(logger for logger in root.manager.loggerDict.values() if isinstance(logger, logging.Logger))]


def reset() -> None:
    """Take every handler and level from every logger; close the handlers."""
    for logger in _loggers():
        for handler in logger.handlers[:]:
            logger.removeHandler(handler)
            handler.close()
        logger.setLevel(logging.NOTSET)
        logger.propagate = True


def _json_appender() -> ConsoleAppender:
    from fastscp.log.jsonlines import NOTICE, JSONLayout  # noqa: PLC0415 - only needed with --log-json

    return ConsoleAppender(JSONLayout(), notice=NOTICE)
