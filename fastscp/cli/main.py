"""The program ``fastscp``: reads the command line, sets up logging and runs the service.

What it prints, where and with which exit status follows storescp: usage errors go below a header line to
stderr, unless the log is quieter than warnings; what is found wrong later is logged as fatal. Both end with 1.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from fastscp.cli.check import check, check_logging, check_parameters
from fastscp.cli.help import IDENTIFICATION, header, usage, version
from fastscp.cli.output import write
from fastscp.cli.parse import CommandLine, parse
from fastscp.errors import UsageError

if TYPE_CHECKING:
    from fastscp.cli.load import Loaded


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fastscp`` with ``argv`` (default: ``sys.argv``) and return its exit status."""
    program, *arguments = sys.argv if argv is None else argv
    if not arguments:
        return write(1, usage())
    try:
        line = parse(os.path.basename(program), arguments)
        report = _report(line)
        if report is not None:
            return write(1, report)
        from fastscp.cli.load import load, showing  # noqa: PLC0415 - not needed for --help

        loaded = load(line)
        line = loaded.line
        check_parameters(line)
        check_logging(line)
        if line.has("--print-config"):
            return write(1, showing(loaded))
        _occupy_standard_descriptors()
        if line.has("--inetd"):
            _discard_output()
        return _start(loaded)
    except UsageError as error:
        return _refuse(error)


def _report(line: CommandLine) -> str | None:
    """Return the text of the option that prints something and ends, None when there is none.

    ``--help`` comes first of all, as in storescp.
    """
    if line.has("--help"):
        return usage()
    if line.has("--version"):
        return version()
    if line.has("--list-ciphers"):
        from fastscp.tls.profiles import list_ciphers  # noqa: PLC0415 - ssl is slow to import

        return header() + "\n" + list_ciphers()
    if line.has("--list-profiles"):
        from fastscp.tls.profiles import list_profiles  # noqa: PLC0415 - ssl is slow to import

        return header() + "\n" + list_profiles()
    return None


def _start(loaded: Loaded) -> int:
    """Start logging, complete the checks and serve until told to stop, or only say that all is well."""
    import logging  # noqa: PLC0415 - not needed for --help

    from fastscp.cli.build import log_policy  # noqa: PLC0415 - likewise
    from fastscp.cli.load import complain, configuration, configured_again  # noqa: PLC0415 - likewise
    from fastscp.log import configure, names  # noqa: PLC0415 - not needed for --help
    from fastscp.service.early import ignore_orders  # noqa: PLC0415 - likewise

    ignore_orders()
    line = loaded.line
    configure(log_policy(line))
    root = logging.getLogger()
    if line.has("--arguments"):
        # logged even when the level would not show it, as in storescp
        root.handle(root.makeRecord(root.name, names.INFO, "", 0, arguments_message(line), (), None))
    verbose = logging.getLogger(names.APPLICATION).isEnabledFor(names.INFO)
    try:
        check(line, verbose=verbose)
    except UsageError as error:
        return error.exit_status if not root.isEnabledFor(names.WARN) else _refuse(error)
    logger = logging.getLogger(names.APPLICATION)
    logger.debug("%s\n", IDENTIFICATION)
    try:
        config = configuration(loaded, verbose=verbose)
        complain(config, loaded)
    except UsageError as error:
        logger.critical("%s", error)
        return error.exit_status
    if line.has("--check-config"):
        from fastscp.service.trial import try_out  # noqa: PLC0415 - as the next

        return try_out(config)
    from fastscp.service.run import run  # noqa: PLC0415 - nothing else needs sockets and processes

    return run(config, partial(configured_again, loaded.given, verbose=verbose) if line.has("--config") else None)


def arguments_message(line: CommandLine) -> str:
    """Return what ``--arguments`` logs; like storescp it counts empty arguments but does not show them."""
    shown = "".join(f"'{argument}' " for argument in line.arguments if argument)
    return f"calling 'fastscp' with {len(line.arguments)} arguments: {shown}\n"


def _occupy_standard_descriptors() -> None:
    """Open descriptors 0 to 2 where they are closed, so that no socket or file gets a number that logs go to."""
    while True:
        descriptor = os.open(os.devnull, os.O_RDWR)
        if descriptor > 2:
            os.close(descriptor)
            return
        os.set_inheritable(descriptor, True)  # hooks need them as well


def _discard_output() -> None:
    """Send stdout and stderr to nowhere where they are the peer's connection, as under inetd.

    Elsewhere (systemd's journal, a terminal where ``--inetd`` is a mistake) what is written can be read.
    """
    connection = os.fstat(0)
    if not stat.S_ISSOCK(connection.st_mode):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if os.path.samestat(os.fstat(descriptor), connection):
            os.dup2(null, descriptor)
    os.close(null)


def _refuse(error: UsageError) -> int:
    """Print ``error`` below the header line, as storescp does."""
    write(2, f"{header()}error: {error}\n")
    return error.exit_status


if __name__ == "__main__":
    sys.exit(main())
