"""fastscp-ingest: stores files, archives and media as fastscp stores what it receives.

usage: fastscp-ingest [options] path ...

Exit status 0: everything that is DICOM was stored; 1: something was not; 2: nothing was done; 3: interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace

from fastscp import __date__, __version__
from fastscp.cli.check import check, check_logging
from fastscp.cli.help import laid_out
from fastscp.cli.options_ingest import TABLE
from fastscp.cli.output import write
from fastscp.cli.parse import CommandLine, parse
from fastscp.config.model import Config
from fastscp.config.network import NetworkPolicy
from fastscp.errors import UsageError
from fastscp.ingest.policy import IngestPolicy, Placement

_EXIT_USAGE = 2
_IDENTIFICATION = f"$fastscp: fastscp-ingest v{__version__} {__date__} $"
_PARAMETERS = (
    ("path", "file, directory, archive (tar, also compressed, and zip), DICOMDIR,\npattern, or - for a list of such on standard input"),
)
_PLACEMENTS = {"--link": Placement.LINK, "--move": Placement.MOVE}


def usage() -> str:
    """Return the text of ``--help``."""
    return laid_out(f"{_IDENTIFICATION}\n\nfastscp-ingest: store DICOM files as fastscp stores what it receives\n",
                    "fastscp-ingest [options] path ...", _PARAMETERS, TABLE.options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fastscp-ingest`` with ``argv`` (default: ``sys.argv``) and return its exit status."""
    program, *arguments = sys.argv if argv is None else argv
    if not arguments:
        return write(1, usage())
    try:
        line = parse(os.path.basename(program), ["--null" if word == "-0" else word for word in arguments], TABLE)
        if line.has("--help"):
            return write(1, usage())
        if line.has("--version"):
            from fastscp.cli.libraries import libraries  # noqa: PLC0415 - slow to import

            return write(1, f"{_IDENTIFICATION}\n\n{libraries()}")
        return _start(line)
    except UsageError as error:
        write(2, f"fastscp-ingest: {error}\n")
        return _EXIT_USAGE


def _start(line: CommandLine) -> int:
    """Check the command line, start logging and ingest. Raises UsageError."""
    if not line.parameters:
        raise UsageError("Missing parameter path")
    check_logging(line)
    check(line, verbose=True)
    import logging  # noqa: PLC0415 - not needed for --help

    from fastscp.cli.startup import complaint  # noqa: PLC0415 - likewise
    from fastscp.log import configure, names  # noqa: PLC0415 - likewise
    from fastscp.study.commands import Commands  # noqa: PLC0415 - likewise

    config = configuration(line)
    configure(config.log)
    Commands(config.hooks, ignore=False)  # refuses placeholders that no quoting makes safe
    store = replace(config.store, ignore=line.has("--dry-run"))  # which writes nothing there
    reason = complaint(config.network, store, config.study, config.hooks)
    if reason:
        raise UsageError(reason)
    if line.has("--arguments"):
        logging.getLogger(names.APPLICATION).warning("arguments: %s", " ".join(line.arguments))
    from fastscp.ingest.run import run  # noqa: PLC0415 - nothing else needs processes

    return run(config, ingest_policy(line), write)


def configuration(line: CommandLine) -> Config:
    """Compose the configuration, of which an ingest uses everything but what concerns networks. Raises UsageError."""
    from fastscp.cli import build  # noqa: PLC0415 - not needed for --help

    return Config(network=NetworkPolicy(umask=build.umask(line.value("--umask"))), output=build.output_options(line),
                  store=build.store_policy(line), study=build.study_policy(line), hooks=build.hook_policy(line),
                  log=build.log_policy(line))


def ingest_policy(line: CommandLine) -> IngestPolicy:
    """Say what an ingest is asked to do beside. Raises UsageError."""
    placement = _PLACEMENTS.get(line.effective("placement"), Placement.COPY)
    if placement is not Placement.COPY and line.has("--dry-run"):
        placement = Placement.COPY
    return IngestPolicy(
        paths=line.parameters,
        workers=line.number("--workers") or len(os.sched_getaffinity(0)),
        calling_aet=(line.value("--aetitle") or IngestPolicy.calling_aet).strip(),
        called_aet=(line.value("--call") or IngestPolicy.called_aet).strip(),
        placement=placement, dry_run=line.has("--dry-run"), resume=line.has("--resume"), strict=line.has("--strict"),
        follow_links=line.has("--follow-links"), null_separated=line.has("--null"), report=line.value("--report"),
        quiet=line.has("--quiet"))


if __name__ == "__main__":
    sys.exit(main())
