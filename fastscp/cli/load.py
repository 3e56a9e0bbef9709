"""What is in effect: the options of the command line, those of the configuration file below them, and its sections above.

Each layer gives a command line of its own (``fastscp.cli.layers``), which is checked and built like one that was typed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fastscp.cli.check import check, check_logging, check_parameters, located
from fastscp.cli.file import File, Section, read_file
from fastscp.cli.layers import over
from fastscp.cli.parse import CommandLine, Occurrence
from fastscp.errors import UsageError

if TYPE_CHECKING:
    from fastscp.config import Config

_LIMIT = "--max-associations"


@dataclass(frozen=True)
class Loaded:
    """Command line and file, put together."""

    given: CommandLine  #: what was typed
    line: CommandLine  #: what is in effect for the service
    file: File
    sections: tuple[tuple[Section, CommandLine], ...]  #: and for each section


def load(given: CommandLine) -> Loaded:
    """Read the configuration file that a command line names, if it does. Raises UsageError."""
    path = given.value("--config")
    file = File() if path is None else read_file(path)
    line = replace(given, occurrences=over(file.occurrences, given.occurrences, given.without),
                   parameters=given.parameters or (() if file.port is None else (file.port,)))
    return Loaded(given, line, file, tuple(
        (section, replace(line, occurrences=over(line.occurrences, section.occurrences, section.without)))
        for section in file.sections))


def configuration(loaded: Loaded, *, verbose: bool) -> Config:
    """Compose the configuration, of the service and of each section. Raises UsageError.

    ``verbose`` tells whether the log shows what happens per association.
    """
    from fastscp.config.senders import Sender, Senders  # noqa: PLC0415 - most set-ups have no sections

    config = _built(loaded.line)
    by_sender, senders = {}, []
    for section, line in loaded.sections:
        try:
            check(line, verbose=verbose)
            own = _built(line)
        except UsageError as error:
            if str(error).startswith(section.source.rpartition(":")[0]):
                raise
            raise UsageError(f"{section.source}: section {section.name}: {error}", error.exit_status) from error
        limits = [one for one in section.occurrences if one.option.long == _LIMIT]
        if limits and line.has("--inetd"):
            raise located(UsageError("not allowed with --inetd, a process knows of no others"), limits[0])
        senders.append(Sender(section.name, section.conditions, section.accept, int(limits[0].values[0]) if limits else None))
        by_sender[section.name] = own
    return replace(config, senders=Senders(tuple(senders), loaded.file.accepts_unmatched), by_sender=by_sender)


def _built(line: CommandLine) -> Config:
    from fastscp.cli.build import build  # noqa: PLC0415 - not needed for --help
    from fastscp.study.commands import Commands  # noqa: PLC0415 - likewise

    try:
        config = build(line)
        Commands(config.hooks, ignore=config.store.ignore)  # refuses placeholders that no quoting makes safe
    except UsageError as error:
        raise located(error, _to_blame(line, error) if error.option else None) from error
    return config


def _to_blame(line: CommandLine, error: UsageError) -> Occurrence | None:
    """Return the occurrence that an error is about: the one with its value, else the one that counts."""
    of_value = [one for one in line.occurrences if one.option.long == error.option and one.values[:1] == (error.value,)]
    return of_value[-1] if of_value else line.given(error.option)


def complain(config: Config, loaded: Loaded) -> None:
    """Raise UsageError for what the service could not begin with, or a section not be served with."""
    from fastscp.cli.startup import complaint  # noqa: PLC0415 - not needed for --help

    reason = complaint(config.network, config.store, config.study, config.hooks)
    if reason:
        raise UsageError(reason)
    for section, _ in loaded.sections:
        own = config.by_sender[section.name]
        reason = complaint(own.network, own.store, own.study, own.hooks)
        if reason:
            raise UsageError(f"{section.source}: section {section.name}: {reason}")


def configured_again(given: CommandLine, *, verbose: bool) -> Config:
    """Read the file again and do everything that a start does before it begins. Raises UsageError."""
    loaded = load(given)
    check_parameters(loaded.line)
    check_logging(loaded.line)
    check(loaded.line, verbose=verbose)
    config = configuration(loaded, verbose=verbose)
    complain(config, loaded)
    return config


def showing(loaded: Loaded) -> str:
    """Return what is in effect, after its check, as a file (``--print-config``). Raises UsageError."""
    from fastscp.cli.print import printed  # noqa: PLC0415 - rarely wanted

    check(loaded.line, verbose=True)
    configuration(loaded, verbose=True)
    return printed(loaded.line, loaded.file)
