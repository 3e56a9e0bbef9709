"""Option table of ``fastscp-blast``."""

from __future__ import annotations

from fastscp.blast.synthetic import LOADS
from fastscp.cli.option import (
    Argument,
    Kind,
    Option,
    Origin,
    choice,
    count,
    directory,
    file,
    grouped,
    seconds,
    size,
    text,
    title,
)
from fastscp.cli.options import OptionTable
from fastscp.cli.options_general import GENERAL

_OWN = Origin.OWN
_GROUP = "load test options"
_GENERAL = frozenset({"--help", "--version", "--quiet"})

BLAST = (
    *grouped(
        _GROUP, "what is sent",
        Option("--load", "", f"without paths: a synthetic load\n({', '.join(LOADS)})", "[l]oad: string constant (default: ct)",
               choice("load", *LOADS), origin=_OWN),
        Option("--studies", "", "send n studies, each with fresh UIDs", "[n]umber: integer (default: 1; with --duration: any)", count(),
               origin=_OWN),
        Option("--series", "", "of n series each", "[n]umber: integer (default: 1)", count(), origin=_OWN),
        Option("--objects", "", "of n objects each", "[n]umber: integer (default: each file once, 100 without)", count(), origin=_OWN),
    ),
    *grouped(
        _GROUP, "how it is sent",
        Option("--associations", "", "n associations at a time", "[n]umber: integer (default: 1)", count(1, 60000), origin=_OWN),
        Option("--objects-per-association", "", "n objects in each (default: as many as there are)", "[n]umber: integer", count(),
               origin=_OWN),
        Option("--pipeline", "", "n requests at a time in each, without waiting for\nthe answer", "[n]umber: integer (default: 1)",
               count(1, 1000), origin=_OWN),
        Option("--pdu", "", "send no PDU longer than n octets, whatever the peer\ntakes", "[n]umber: integer", count(4096, 1 << 20),
               origin=_OWN),
        Option("--rate", "", "n objects per second, whether the peer keeps up or\nnot; latency counts from the planned time\n"
               "(default: each as soon as its predecessor is answered)", "[n]umber: 50, 0.5 or 50/s", text("number"), origin=_OWN),
        Option("--ramp", "", "reach that, or the number of associations, in s seconds", "[s]econds: integer (default: 0)", seconds(0),
               origin=_OWN),
        Option("--duration", "", "end after s seconds", "[s]econds: integer", seconds(), origin=_OWN),
        Option("--idle", "", "keep n more associations open that send nothing", "[n]umber: integer (default: 0)", count(0, 60000),
               origin=_OWN),
        Option("--timeout", "", "give an association up that has not answered for s\nseconds", "[s]econds: integer (default: 60)", seconds(),
               origin=_OWN),
        Option("--processes", "", "send with n processes (default: number of usable CPUs)", "[n]umber: integer", count(1, 256), origin=_OWN),
    ),
    *grouped(
        _GROUP, "the network",
        Option("--delay", "", "hold everything sent back for n milliseconds, as a\nlong line does", "[n]umber: integer (default: 0)",
               count(0, 60000), origin=_OWN),
        Option("--bandwidth", "", "send at most s octets per second over each association", "[s]ize: integer, or with K, M, G", size(), origin=_OWN),
        Option("--calling-aet", "-aet", "set my calling AE title", "[a]etitle: string (default: FASTSCP-BLAST)", title("aetitle"), origin=_OWN),
        Option("--called-aet", "-aec", "set called AE title of peer", "[a]etitle: string (default: ANY-SCP)", title("aetitle"), origin=_OWN),
    ),
    *grouped(
        _GROUP, "transport layer security",
        Option("--tls", "+tls", "use TLS; without --tls-ca the peer is not verified", origin=_OWN),
        Option("--tls-keys", "", "with this key and certificate", "[p]rivate key file, [c]ertificate file: string",
               (Argument("private key", Kind.FILE), Argument("certificate", Kind.FILE)), requires=("--tls",), origin=_OWN),
        Option("--tls-ca", "+cf", "accept certificates of these authorities only", "[f]ile or directory: string", file(), requires=("--tls",),
               repeatable=True, origin=_OWN),
    ),
    *grouped(
        _GROUP, "result",
        Option("--json", "", "write the result to f as JSON", "[f]ilename: string", file(), origin=_OWN),
        Option("--svg", "", "write a plot over time to f", "[f]ilename: string", file(), origin=_OWN),
        Option("--verify", "", "after the run, find every acknowledged object in d and\ncompare it", "[d]irectory: string", directory(),
               origin=_OWN),
        Option("--verify-events", "", "after the run, find every acknowledged object, and one\nend of each study, in fastscp's event log",
               "[f]ilename: string", file(), origin=_OWN),
        Option("--verify-wait", "", "wait s seconds for what is missing", "[s]econds: integer (default: 10)", seconds(0),
               requires=("--verify", "--verify-events"), origin=_OWN),
    ),
    *grouped(
        _GROUP, "harm",
        Option("--hostile", "", "let n percent of the associations be cut, slow, or\ngarbage, and see that the others are served;\n"
               "loopback addresses only", "[n]umber: integer", count(1, 90), origin=_OWN),
        Option("--hostile-host", "", "do so to host h, which has to be the HOST", "[h]ost: string", text("host"), requires=("--hostile",),
               origin=_OWN),
    ),
)

TABLE = OptionTable((*(option for option in GENERAL if option.long in _GENERAL), *BLAST))
