"""Builds loggers and appenders from the properties of a log4cplus configuration file.

Where storescp complains on stderr and goes on, so does this; each problem is returned as a sentence.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from fastscp.errors import UsageError
from fastscp.log import names
from fastscp.log.appenders import Appender, ConsoleAppender, NullAppender, SysLogAppender
from fastscp.log.files import (
    SCHEDULES,
    DailyRollingFileAppender,
    FileAppender,
    RollingFileAppender,
    enabled,
)
from fastscp.log.filters import FILTERS, Filter
from fastscp.log.layouts import Layout, SimpleLayout, TTCCLayout
from fastscp.log.pattern import PatternLayout
from fastscp.log.properties import PREFIX, subset

Factory = Callable[[Layout, list[Filter], Mapping[str, str]], Appender]


def _console(layout: Layout, chain: list[Filter], properties: Mapping[str, str]) -> Appender:
    to_stderr = enabled(properties, "logToStdErr", default=False)
    return ConsoleAppender(layout, chain, descriptor=2 if to_stderr else 1)


def _null(layout: Layout, chain: list[Filter], _properties: Mapping[str, str]) -> Appender:
    return NullAppender(layout, chain)


_APPENDERS: Mapping[str, Factory] = {
    "log4cplus::ConsoleAppender": _console,
    "log4cplus::NullAppender": _null,
    "log4cplus::FileAppender": FileAppender,
    "log4cplus::RollingFileAppender": RollingFileAppender,
    "log4cplus::DailyRollingFileAppender": DailyRollingFileAppender,
    "log4cplus::SysLogAppender": SysLogAppender,
}


@dataclass(frozen=True)
class LoggerSettings:
    """One logger: its level (None: its parent's), its appenders and whether its parent's get records too."""

    level: int | None
    appenders: tuple[str, ...] = ()
    additive: bool = True


@dataclass
class Configuration:
    """Everything a file configures; loggers by name, the root's name is ""."""

    loggers: dict[str, LoggerSettings] = field(default_factory=dict)
    appenders: dict[str, Appender] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def build(properties: Mapping[str, str]) -> Configuration:
    """Build what ``properties`` (of a whole file, variables replaced) describe.

    Raises :class:`UsageError` when the root logger has no valid level.
    """
    ours = subset(properties, PREFIX)
    configuration = Configuration()
    _build_appenders(subset(ours, "appender."), configuration)
    _build_loggers(ours, configuration)
    return configuration


def _build_appenders(properties: Mapping[str, str], configuration: Configuration) -> None:
    for name, class_name in properties.items():
        if "." in name:
            continue
        factory = _APPENDERS.get(class_name)
        if factory is None:
            configuration.problems.append(f"appender {name}: unknown class {class_name}")
            continue
        try:
            appender = _build_appender(factory, subset(properties, f"{name}."), configuration.problems, name)
        except KeyError:
            configuration.problems.append(f"appender {name}: File is missing")
        except OSError as error:
            configuration.problems.append(f"appender {name}: {error}")
        else:
            configuration.appenders[name] = appender


def _build_appender(
    factory: Factory, properties: Mapping[str, str], problems: list[str], name: str
) -> Appender:
    found: list[str] = []
    appender = factory(_build_layout(properties, found), _build_filters(properties, found), properties)
    threshold = names.parse_level(properties.get("Threshold", ""))
    if threshold is not None:
        appender.setLevel(threshold)
    if factory is DailyRollingFileAppender and properties.get("Schedule", "").upper() not in SCHEDULES:
        found.append(f"unknown Schedule {properties.get('Schedule', '')!r}, DAILY is taken")
    problems += (f"appender {name}: {problem}" for problem in found)
    return appender


def _build_layout(properties: Mapping[str, str], problems: list[str]) -> Layout:
    class_name = properties.get("layout", "log4cplus::SimpleLayout")
    own = subset(properties, "layout.")
    if class_name == "log4cplus::TTCCLayout":
        return TTCCLayout(own)
    if class_name == "log4cplus::PatternLayout":
        pattern = own.get("ConversionPattern", own.get("Pattern"))
        if pattern is not None:
            layout = PatternLayout(pattern)
            problems += layout.problems
            return layout
        problems.append("ConversionPattern is missing")
    elif class_name != "log4cplus::SimpleLayout":
        problems.append(f"unknown layout {class_name}")
    return SimpleLayout()


def _build_filters(properties: Mapping[str, str], problems: list[str]) -> list[Filter]:
    """Build the chain ``filters.1``, ``filters.2`` and so on up to the first number that is missing."""
    own = subset(properties, "filters.")
    chain: list[Filter] = []
    number = 1
    while str(number) in own:
        class_name = own[str(number)]
        if class_name in FILTERS:
            chain.append(FILTERS[class_name](subset(own, f"{number}.")))
        else:
            problems.append(f"unknown filter {class_name}")
        number += 1
    return chain


def _build_loggers(properties: Mapping[str, str], configuration: Configuration) -> None:
    additivity = subset(properties, "additivity.")
    for name, value in additivity.items():
        if value.lower() not in ("true", "false"):
            configuration.problems.append(f"logger {name}: additivity is {value!r}, not true or false")
    settings = {"": properties["rootLogger"], **subset(properties, "logger.")}
    for name, value in settings.items():
        level, *appenders = (word for word in value.replace(" ", "").split(","))
        unknown = [appender for appender in appenders if appender not in configuration.appenders]
        configuration.problems += (f"logger {name or 'root'}: no appender {appender}" for appender in unknown)
        configuration.loggers[name] = LoggerSettings(
            names.parse_level(level),
            tuple(appender for appender in appenders if appender not in unknown),
            additivity.get(name, "true").lower() != "false",
        )
    if configuration.loggers[""].level is None:
        raise UsageError(f"log4cplus.rootLogger has no valid level: {properties['rootLogger']}")


def apply(configuration: Configuration) -> None:
    """Give the loggers of the standard ``logging`` their levels and appenders."""
    for name, settings in configuration.loggers.items():
        logger = logging.getLogger(name or None)
        logger.setLevel(logging.NOTSET if settings.level is None else settings.level)
        logger.propagate = settings.additive
        for appender in settings.appenders:
            logger.addHandler(configuration.appenders[appender])
