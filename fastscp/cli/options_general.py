"""Option table: general, multi-process and network options."""

from __future__ import annotations

from fastscp.cli.option import (
    Argument,
    Kind,
    Option,
    Origin,
    alternatives,
    count,
    file,
    grouped,
    seconds,
    text,
    title,
)

#: What an association profile decides by itself.
_NEGOTIATION = (
    "--prefer-little",
    "--prefer-big",
    "--prefer-lossless",
    "--prefer-jpeg8",
    "--prefer-jpeg12",
    "--prefer-j2k-lossless",
    "--prefer-j2k-lossy",
    "--prefer-jls-lossless",
    "--prefer-jls-lossy",
    "--prefer-mpeg2",
    "--prefer-mpeg2-high",
    "--prefer-mpeg4",
    "--prefer-mpeg4-bd",
    "--prefer-mpeg4-2-2d",
    "--prefer-mpeg4-2-3d",
    "--prefer-mpeg4-2-st",
    "--prefer-hevc",
    "--prefer-hevc10",
    "--prefer-rle",
    "--prefer-deflated",
    "--implicit",
    "--accept-all",
    "--promiscuous",
)
_VERBOSITY = ("--verbose", "--debug", "--quiet")
LOG_LEVELS = ("fatal", "error", "warn", "info", "debug", "trace")

GENERAL = grouped(
    "general options", "",
    Option("--help", "-h", "print this help text and exit", ends=True),
    Option("--version", "", "print version information and exit", ends=True),
    Option("--arguments", "", "print expanded command line arguments"),
    *alternatives(
        "verbosity",
        Option("--quiet", "-q", "quiet mode, print no warnings and errors"),
        Option("--verbose", "-v", "verbose mode, print processing details"),
        Option("--debug", "-d", "debug mode, print debug information"),
    ),
    Option("--log-level", "-ll", "use level l for the logger",
           "[l]evel: string constant\n(fatal, error, warn, info, debug, trace)",
           (Argument("level", Kind.CHOICE, choices=LOG_LEVELS),), conflicts=_VERBOSITY, absent="warn"),
    Option("--log-config", "-lc", "use config file f for the logger", "[f]ilename: string", file(),
           # storescp refuses --verbose as well; command lines in the field have both, and the file decides
           conflicts=("--debug", "--quiet", "--log-level")),
    Option("--verbose-pc", "+v", "show presentation contexts in verbose mode"),
)

PROCESSES = grouped(
    "multi-process options", "",
    *alternatives(
        "processes",
        Option("--single-process", "", "serve one association at a time"),
        Option("--fork", "", "serve many associations at once on a pool of\nprocesses (default)", default=True),
    ),
    Option("--max-associations", "", "limit maximum number of parallel associations\nto n (default: unlimited)",
           "[n]umber: integer", count(), conflicts=("--single-process",), origin=Origin.NEWER),
)

PROFILE = grouped(
    "network options", "association negotiation profile from configuration file",
    Option("--config-file", "-xf", "use profile p from config file f", "[f]ilename, [p]rofile: string",
           (*file(), *text("profile")), conflicts=_NEGOTIATION),
)

IP_VERSION = grouped(
    "network options", "IP protocol version",
    *alternatives(
        "ip-version",
        Option("--ipv4", "-i4", "use IPv4 only (default)", default=True, origin=Origin.NEWER),
        Option("--ipv6", "-i6", "use IPv6 only", origin=Origin.NEWER),
        Option("--ip-auto", "-i0", "use IPv6/IPv4 dual stack", origin=Origin.NEWER),
    ),
)

PREFERENCES = grouped(
    "network options", "preferred network transfer syntaxes (not with --config-file)",
    *alternatives(
        "preference",
        Option("--prefer-uncompr", "+x=", "prefer explicit VR local byte order (default)", default=True),
        Option("--prefer-little", "+xe", "prefer explicit VR little endian TS"),
        Option("--prefer-big", "+xb", "prefer explicit VR big endian TS"),
        Option("--prefer-lossless", "+xs", "prefer default JPEG lossless TS"),
        Option("--prefer-jpeg8", "+xy", "prefer default JPEG lossy TS for 8 bit data"),
        Option("--prefer-jpeg12", "+xx", "prefer default JPEG lossy TS for 12 bit data"),
        Option("--prefer-j2k-lossless", "+xv", "prefer JPEG 2000 lossless TS"),
        Option("--prefer-j2k-lossy", "+xw", "prefer JPEG 2000 lossy TS"),
        Option("--prefer-jls-lossless", "+xt", "prefer JPEG-LS lossless TS"),
        Option("--prefer-jls-lossy", "+xu", "prefer JPEG-LS lossy TS"),
        Option("--prefer-mpeg2", "+xm", "prefer MPEG2 Main Profile @ Main Level TS"),
        Option("--prefer-mpeg2-high", "+xh", "prefer MPEG2 Main Profile @ High Level TS"),
        Option("--prefer-mpeg4", "+xn", "prefer MPEG4 AVC/H.264 HP / Level 4.1 TS"),
        Option("--prefer-mpeg4-bd", "+xl", "prefer MPEG4 AVC/H.264 BD-compatible TS"),
        Option("--prefer-mpeg4-2-2d", "+x2", "prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (2D)", origin=Origin.NEWER),
        Option("--prefer-mpeg4-2-3d", "+x3", "prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (3D)", origin=Origin.NEWER),
        Option("--prefer-mpeg4-2-st", "+xo", "prefer MPEG4 AVC/H.264 Stereo HP / Level 4.2 TS",
               origin=Origin.NEWER),
        Option("--prefer-hevc", "+x4", "prefer HEVC/H.265 Main Profile / Level 5.1 TS", origin=Origin.NEWER),
        Option("--prefer-hevc10", "+x5", "prefer HEVC/H.265 Main 10 Profile / Level 5.1 TS", origin=Origin.NEWER),
        Option("--prefer-rle", "+xr", "prefer RLE lossless TS"),
        Option("--prefer-deflated", "+xd", "prefer deflated expl. VR little endian TS"),
        Option("--implicit", "+xi", "accept implicit VR little endian TS only"),
        Option("--accept-all", "+xa", "accept all supported transfer syntaxes"),
    ),
)

ACCESS = grouped(
    "network options", "network host access control (tcp wrapper)",
    *alternatives(
        "access",
        Option("--access-full", "-ac", "accept connections from any host (default)", default=True),
        Option("--access-control", "+ac", "enforce host access control rules"),
    ),
)

OTHER_NETWORK = grouped(
    "network options", "other network options",
    Option("--inetd", "-id", "run from inetd super server (not with --fork)", conflicts=("--fork",)),
    Option("--socket-timeout", "-ts", "timeout for network socket (0 for none)",
           "[s]econds: integer (default: 60)", seconds(-1), origin=Origin.NEWER),
    Option("--acse-timeout", "-ta", "timeout for ACSE messages", "[s]econds: integer (default: 30)", seconds()),
    Option("--dimse-timeout", "-td", "timeout for DIMSE messages", "[s]econds: integer (default: unlimited)",
           seconds()),
    Option("--aetitle", "-aet", "set my AE title (default: STORESCP)", "[a]etitle: string", title("aetitle")),
    Option("--max-pdu", "-pdu", "set max receive pdu to n bytes (default: 16384)",
           "[n]umber of bytes: integer (4096..131072)", count(4096, 131072)),
    Option("--disable-host-lookup", "-dhl", "disable hostname lookup"),
    Option("--refuse", "", "refuse association"),
    Option("--reject", "", "reject association if no implement. class UID"),
    Option("--ignore", "", "ignore store data, receive but do not store"),
    Option("--sleep-after", "", "sleep s seconds after store (default: 0)", "[s]econds: integer", seconds(0)),
    Option("--sleep-during", "", "sleep s seconds during store (default: 0)", "[s]econds: integer", seconds(0)),
    Option("--abort-after", "", "abort association after receipt of C-STORE-RQ\n(but before sending response)"),
    Option("--abort-during", "", "abort association during receipt of C-STORE-RQ"),
    Option("--promiscuous", "-pm", "promiscuous mode, accept unknown SOP classes\n(not with --config-file)"),
    Option("--uid-padding", "-up", "silently correct space-padded UIDs"),
)
