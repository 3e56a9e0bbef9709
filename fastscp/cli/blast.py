"""fastscp-blast: load-tests a Storage SCP, and looks whether it kept what it said it had taken.

usage: fastscp-blast [options] host port [path ...]

Exit status 0: everything was acknowledged, and found where that was asked for; 1: something was not; 2: nothing was done;
3: interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import orjson

from fastscp import __date__, __version__
from fastscp.blast.plan import Checks, Line, Plan, Target, TLSKeys
from fastscp.cli.check import check
from fastscp.cli.help import laid_out
from fastscp.cli.options_blast import TABLE
from fastscp.cli.output import write
from fastscp.cli.parse import CommandLine, parse
from fastscp.errors import UsageError

_EXIT_USAGE = 2
_IDENTIFICATION = f"$fastscp: fastscp-blast v{__version__} {__date__} $"
_PARAMETERS = (
    ("host", "name or address of the Storage SCP"),
    ("port", "its tcp/ip port number"),
    ("path", "DICOM files to send copies of, or directories of such"),
)


def usage() -> str:
    """Return the text of ``--help``."""
    return laid_out(f"{_IDENTIFICATION}\n\nfastscp-blast: load-test a DICOM storage (C-STORE) SCP\n",
                    "fastscp-blast [options] host port [path ...]", _PARAMETERS, TABLE.options)


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``fastscp-blast`` with ``argv`` (default: ``sys.argv``) and return its exit status."""
    program, *arguments = sys.argv if argv is None else argv
    if not arguments:
        return write(1, usage())
    try:
        line = parse(os.path.basename(program), arguments, TABLE)
        if line.has("--help"):
            return write(1, usage())
        if line.has("--version"):
            from fastscp.cli.libraries import libraries  # noqa: PLC0415 - slow to import

            return write(1, f"{_IDENTIFICATION}\n\n{libraries()}")
        check(line, verbose=True)
        return _blast(plan(line))
    except UsageError as error:
        write(2, f"fastscp-blast: {error}\n")
        return _EXIT_USAGE


def _blast(wanted: Plan) -> int:
    """Send, and write what came of it. Raises UsageError."""
    from fastscp.blast.plot import svg  # noqa: PLC0415 - not needed for --help
    from fastscp.blast.run import run  # noqa: PLC0415 - likewise
    from fastscp.blast.show import report, show  # noqa: PLC0415 - likewise

    for path in filter(None, (wanted.json, wanted.svg)):
        _save(path, b"")  # that it cannot be written is to be known before
    result = run(wanted, show(quiet=wanted.quiet, write=lambda text: write(2, text)))
    if wanted.json is not None:
        _save(wanted.json, orjson.dumps(result.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    if wanted.svg is not None:
        _save(wanted.svg, svg(result).encode("utf-8"))
    if not wanted.quiet:
        report(result, lambda text: write(1, text))
    return result.exit_status


def _save(path: str, octets: bytes) -> None:
    try:
        with open(path, "wb") as file:
            file.write(octets)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error


def plan(line: CommandLine) -> Plan:
    """Say what the command line asks for. Raises UsageError."""
    host, port, *paths = (*line.parameters, "", "")[:max(2, len(line.parameters))]
    if not host or not port:
        raise UsageError("Missing parameter " + ("port" if host else "host"))
    if not port.isascii() or not port.isdigit() or not 1 <= int(port) <= 65535:
        raise UsageError(f"Invalid parameter value {port}")
    if paths and line.has("--load"):
        raise UsageError("--load not allowed with paths")
    private_key, certificate = line.last("--tls-keys") or (None, None)
    tls = TLSKeys(private_key, certificate, line.values("--tls-ca"))
    target = Target(host, int(port), (line.value("--calling-aet") or Target.calling_aet).strip(),
                    (line.value("--called-aet") or Target.called_aet).strip(), tls if line.has("--tls") else None)
    return Plan(
        target, paths=tuple(paths), load=(line.value("--load") or Plan.load).lower(),
        studies=line.number("--studies"), series=line.number("--series") or Plan.series, objects=line.number("--objects"),
        associations=line.number("--associations") or Plan.associations, per_association=line.number("--objects-per-association"),
        pipeline=line.number("--pipeline") or Plan.pipeline, pdu=line.number("--pdu"), rate=_rate(line.value("--rate")),
        ramp_s=line.number("--ramp") or Plan.ramp_s, duration_s=line.number("--duration"), idle=line.number("--idle") or Plan.idle,
        line=Line((line.number("--delay") or 0) / 1000, line.size("--bandwidth") or 0),
        hostile_percent=line.number("--hostile") or Plan.hostile_percent, hostile_host=line.value("--hostile-host"),
        timeout_s=line.number("--timeout") or Plan.timeout_s, processes=line.number("--processes"),
        checks=Checks(line.value("--verify"), line.value("--verify-events"), _wait_s(line)),
        json=line.value("--json"), svg=line.value("--svg"), quiet=line.has("--quiet"))


def _wait_s(line: CommandLine) -> float:
    wait_s = line.number("--verify-wait")
    return Checks.wait_s if wait_s is None else wait_s


def _rate(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        rate = float(text.removesuffix("/s"))
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1e7:
        raise UsageError(f"Invalid value for option --rate ({text})")
    return rate


if __name__ == "__main__":
    sys.exit(main())
