"""Option table: what fastscp has beyond storescp."""

from __future__ import annotations

from fastscp.cli.option import (
    Argument,
    Kind,
    Option,
    Origin,
    command,
    count,
    directory,
    file,
    grouped,
    seconds,
    text,
)

_GROUP = "fastscp options"
_OWN = Origin.OWN
_SORTING = ("--sort-conc-studies", "--sort-on-study-uid", "--sort-on-patientname")

OWN = (
    *grouped(
        _GROUP, "processes",
        Option("--workers", "", "serve associations on n worker processes\n(default: number of usable CPUs)",
               "[n]umber: integer", count(), conflicts=("--single-process", "--inetd"), origin=_OWN),
        Option("--drain-timeout", "", "on SIGTERM wait s seconds for open\nassociations", "[s]econds: integer (default: 30)",
               seconds(0), origin=_OWN),
        Option("--max-associations-per-host", "", "limit parallel associations of one host to n\n(default: unlimited)",
               "[n]umber: integer", count(1, 65536), conflicts=("--inetd",), origin=_OWN),
        Option("--max-associations-per-aet", "", "limit parallel associations of one calling\napplication entity to n (default: unlimited)",
               "[n]umber: integer", count(1, 65536), conflicts=("--inetd",), origin=_OWN),
        Option("--association-timeout", "", "abort an association after s seconds\n(default: unlimited)",
               "[s]econds: integer", seconds(), origin=_OWN),
        Option("--object-timeout", "", "abort an association whose object is not\ncomplete after s seconds (default: unlimited)",
               "[s]econds: integer", seconds(), origin=_OWN),
        Option("--hang-timeout", "", "kill and replace a process that hangs for\ns seconds (0: never)",
               "[s]econds: integer (default: 30)", seconds(0), origin=_OWN),
        Option("--umask", "", "set the mask of permissions that files and\ndirectories do not get (default: as it is)",
               "[m]ask: string (octal)", text("mask"), origin=_OWN),
        Option("--user", "", "become user u after the port is bound", "[u]ser name: string", text("user"), origin=_OWN),
        Option("--hosts-allow", "", "read host access rules from f\n(only with --access-control)",
               "[f]ilename: string (default: /etc/hosts.allow)", file(), requires=("--access-control",), origin=_OWN),
        Option("--hosts-deny", "", "read host access rules from f\n(only with --access-control)",
               "[f]ilename: string (default: /etc/hosts.deny)", file(), requires=("--access-control",), origin=_OWN),
    ),
    *grouped(
        _GROUP, "studies",
        Option("--on-late", "", "treat an object of a study that has ended as a\nnew study, or append it to the old one",
               "[m]ode: string constant (default: new-study)\n(new-study, append)",
               (Argument("mode", Kind.CHOICE, choices=("new-study", "append")),), origin=_OWN),
        Option("--study-max-age", "", "end a study s seconds after its first object\n(default: unlimited)",
               "[s]econds: integer", seconds(), requires=(*_SORTING, "--exec-on-eostudy", "--rename-on-eostudy"),
               origin=_OWN),
        Option("--study-manifest", "", "write a list of its files into the directory of\neach study that ends",
               requires=_SORTING, origin=_OWN),
        Option("--completed-directory", "", "move the directory of each study that ends to\ndirectory d, before its command is executed",
               "[d]irectory: string", directory(), requires=_SORTING, conflicts=("--inetd",), origin=_OWN),
        Option("--state-dir", "", "keep the state of open studies in directory d\n(default: hidden in the output directory)",
               "[d]irectory: string", directory(), origin=_OWN),
        Option("--transliterate-names", "", "spell Patient's Name directories by the\nSpecific Character Set",
               requires=("--sort-on-patientname",), origin=_OWN),
    ),
    *grouped(
        _GROUP, "events",
        Option("--exec-on-eoseries", "", "execute command c at the end of each series",
               "[c]ommand: string", command(), conflicts=("--inetd",), origin=_OWN),
        Option("--exec-argv", "", "execute commands without a shell", origin=_OWN),
        Option("--hook-jobs", "", "execute at most n commands at once", "[n]umber: integer (default: 8)", count(),
               origin=_OWN),
        Option("--hook-timeout", "", "end a command after s seconds\n(default: unlimited)", "[s]econds: integer",
               seconds(), origin=_OWN),
        Option("--hook-retries", "", "execute a command that failed up to n times more",
               "[n]umber: integer (default: 0)", count(0), origin=_OWN),
        Option("--event-log", "", "append each event to f, one JSON object a line", "[f]ilename: string", file(),
               origin=_OWN),
        Option("--event-digest", "", "put the SHA-256 of each file into its event\n(only with --event-log)",
               requires=("--event-log",), origin=_OWN),
    ),
    *grouped(
        _GROUP, "objects",
        Option("--quarantine", "", "keep objects that cannot be stored in directory d,\nas they were received, and answer with a warning",
               "[d]irectory: string", directory(), origin=_OWN),
        Option("--private-dictionary", "", "know the private attributes of pydicom, or only\nthose of DCMDICTPATH",
               "[d]ictionary: string constant (pydicom, none)\n(default: pydicom, unless DCMDICTPATH has some)",
               (Argument("dictionary", Kind.CHOICE, choices=("pydicom", "none")),), origin=_OWN),
    ),
    *grouped(
        _GROUP, "logging",
        Option("--log-json", "", "log to stderr, one JSON object a line\n(not with --log-config)",
               conflicts=("--log-config",), origin=_OWN),
    ),
)
