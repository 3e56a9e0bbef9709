"""Option table of ``fastscp-ingest``: the output and event options of ``fastscp``, and its own."""

from __future__ import annotations

from fastscp.cli.option import Option, Origin, alternatives, count, file, grouped, title
from fastscp.cli.options import OptionTable
from fastscp.cli.options_general import GENERAL
from fastscp.cli.options_output import EVENTS, OUTPUT
from fastscp.cli.options_own import OWN

_OWN = Origin.OWN
_GROUP = "ingest options"
#: of fastscp's own options those that have to do with objects and studies; of the others these
_SUBGROUPS = frozenset({"studies", "events", "objects", "logging"})
_OTHERS = frozenset({"--umask"})
_NOT_HERE = frozenset({"--verbose-pc"})

INGEST = (
    *grouped(
        _GROUP, "sources",
        Option("--follow-links", "", "follow symbolic links", origin=_OWN),
        Option("--null", "-0", "names on standard input end with a NUL", origin=_OWN),
    ),
    *grouped(
        _GROUP, "what becomes of them",
        *alternatives(
            "placement",
            Option("--copy", "", "leave the sources as they are (default)", default=True, origin=_OWN),
            Option("--link", "", "hard-link sources whose octets are those of the object", origin=_OWN),
            Option("--move", "", "remove each source once its object is safe", origin=_OWN),
        ),
        Option("--dry-run", "", "say what would happen, and store nothing", origin=_OWN),
    ),
    *grouped(
        _GROUP, "the run",
        Option("--resume", "", "go on with the run before, leave out what it has done", origin=_OWN),
        Option("--report", "", "write what became of each source to f, one JSON\nobject a line", "[f]ilename: string", file(),
               origin=_OWN),
        Option("--strict", "", "exit with 1 also when something was not DICOM", origin=_OWN),
        Option("--workers", "", "work with n processes (default: number of usable CPUs)", "[n]umber: integer", count(1, 256),
               origin=_OWN),
    ),
    *grouped(
        _GROUP, "titles",
        Option("--aetitle", "-aet", "the objects come from this AE title", "[a]etitle: string (default: FASTSCP-INGEST)",
               title("aetitle"), origin=_OWN),
        Option("--call", "-aec", "and were sent to this one", "[a]etitle: string (default: ANY-SCP)", title("aetitle"), origin=_OWN),
    ),
)

TABLE = OptionTable((
    *(option for option in GENERAL if option.long not in _NOT_HERE),
    *INGEST,
    *OUTPUT,
    *EVENTS,
    *(option for option in OWN if option.subgroup in _SUBGROUPS or option.long in _OTHERS),
))

