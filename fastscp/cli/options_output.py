"""Option table: output and event options."""

from __future__ import annotations

from fastscp.cli.option import (
    Argument,
    Kind,
    Option,
    Origin,
    alternatives,
    command,
    directory,
    grouped,
    text,
)

_GROUP = "output options"
_BIT_PRESERVING = ("--bit-preserving",)
#: Preferences that may bring in a compressed transfer syntax, which cannot be converted when it is written.
_COMPRESSED = (
    "--accept-all",
    "--bit-preserving",
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
)
_SORTING = ("--sort-conc-studies", "--sort-on-study-uid", "--sort-on-patientname")

OUTPUT = (
    *grouped(
        _GROUP, "general",
        Option("--output-directory", "-od", "write received objects to existing directory d",
               '[d]irectory: string (default: ".")', directory()),
    ),
    *grouped(
        _GROUP, "bit preserving mode",
        *alternatives(
            "bit-preserving",
            Option("--normal", "-B", "allow implicit format conversions (default)", default=True),
            Option("--bit-preserving", "+B", "write data exactly as read"),
        ),
    ),
    *grouped(
        _GROUP, "output file format",
        *alternatives(
            "file-format",
            Option("--write-file", "+F", "write file format (default)", default=True),
            Option("--write-dataset", "-F", "write data set without file meta information"),
        ),
    ),
    *grouped(
        _GROUP, "output transfer syntax (not with --bit-preserving or compressed transmission)",
        *alternatives(
            "output-transfer-syntax",
            Option("--write-xfer-same", "+t=", "write with same TS as input (default)", default=True),
            Option("--write-xfer-little", "+te", "write with explicit VR little endian TS",
                   conflicts=_COMPRESSED),
            Option("--write-xfer-big", "+tb", "write with explicit VR big endian TS",
                   conflicts=_COMPRESSED),
            Option("--write-xfer-implicit", "+ti", "write with implicit VR little endian TS",
                   conflicts=_COMPRESSED),
            Option("--write-xfer-deflated", "+td", "write with deflated expl. VR little endian TS",
                   conflicts=_COMPRESSED),
        ),
    ),
    *grouped(
        _GROUP, "post-1993 value representations (not with --bit-preserving)",
        *alternatives(
            "new-vrs",
            Option("--enable-new-vr", "+u", "enable support for new VRs (UN/UT) (default)", default=True,
                   conflicts=_BIT_PRESERVING),
            Option("--disable-new-vr", "-u", "disable support for new VRs, convert to OB",
                   conflicts=_BIT_PRESERVING),
        ),
    ),
    *grouped(
        _GROUP, "group length encoding (not with --bit-preserving)",
        *alternatives(
            "group-length",
            Option("--group-length-recalc", "+g=", "recalculate group lengths if present (default)", default=True,
                   conflicts=_BIT_PRESERVING),
            Option("--group-length-create", "+g", "always write with group length elements",
                   conflicts=_BIT_PRESERVING),
            Option("--group-length-remove", "-g", "always write without group length elements",
                   conflicts=_BIT_PRESERVING),
        ),
    ),
    *grouped(
        _GROUP, "length encoding in sequences and items (not with --bit-preserving)",
        *alternatives(
            "length-encoding",
            Option("--length-explicit", "+e", "write with explicit lengths (default)", default=True,
                   conflicts=_BIT_PRESERVING),
            Option("--length-undefined", "-e", "write with undefined lengths",
                   conflicts=_BIT_PRESERVING),
        ),
    ),
    *grouped(
        _GROUP, "data set trailing padding (not with --write-dataset or --bit-preserving)",
        *alternatives(
            "padding",
            Option("--padding-off", "-p", "no padding (default)", default=True),
            Option("--padding-create", "+p",
                   "align file on multiple of f bytes and items\non multiple of i bytes",
                   "[f]ile-pad [i]tem-pad: integer",
                   (Argument("file-pad", Kind.INTEGER, 0), Argument("item-pad", Kind.INTEGER, 0)),
                   conflicts=("--write-dataset", "--bit-preserving")),
        ),
    ),
    *grouped(
        _GROUP, "handling of defined length UN elements",
        *alternatives(
            "unknown-elements",
            Option("--retain-un", "-uc", "retain elements as UN (default)", default=True, origin=Origin.NEWER),
            Option("--convert-un", "+uc", "convert to real VR if known", origin=Origin.NEWER),
        ),
    ),
    *grouped(
        _GROUP, "deflate compression level (only with --write-xfer-deflated/same)",
        Option("--compression-level", "+cl", "0=uncompressed, 1=fastest, 9=best compression",
               "[l]evel: integer (default: 6)", (Argument("level", Kind.INTEGER, 0, 9),),
               requires=("--write-xfer-deflated", "--write-xfer-same")),
    ),
    *grouped(
        _GROUP, "sorting into subdirectories (not with --bit-preserving)",
        *alternatives(
            "sorting",
            Option("--sort-conc-studies", "-ss", "sort studies using prefix p and a timestamp",
                   "[p]refix: string", text("prefix"), conflicts=_BIT_PRESERVING),
            Option("--sort-on-study-uid", "-su", "sort studies using prefix p and the Study\nInstance UID",
                   "[p]refix: string", text("prefix"), conflicts=_BIT_PRESERVING),
            Option("--sort-on-patientname", "-sp", "sort studies using the Patient's Name and\na timestamp",
                   conflicts=_BIT_PRESERVING),
        ),
    ),
    *grouped(
        _GROUP, "filename generation",
        *alternatives(
            "filenames",
            Option("--default-filenames", "-uf", "generate filename from instance UID (default)", default=True),
            Option("--unique-filenames", "+uf", "generate unique filenames"),
        ),
        Option("--timenames", "-tn", "generate filename from creation time", conflicts=("--unique-filenames",)),
        Option("--filename-extension", "-fe", "append e to all filenames", "[e]xtension: string",
               text("extension")),
    ),
)

EVENTS = grouped(
    "event options", "",
    Option("--exec-on-reception", "-xcr",
           "execute command c after having received and\nprocessed one C-STORE-RQ message",
           "[c]ommand: string", command()),
    Option("--exec-on-eostudy", "-xcs",
           "execute command c after having received and\nprocessed all C-STORE-RQ messages that belong\nto one study",
           "[c]ommand: string", command(), conflicts=("--inetd",), requires=_SORTING),
    Option("--rename-on-eostudy", "-rns",
           "having received and processed all C-STORE-RQ\nmessages that belong to one study, rename\n"
           "output files according to certain pattern", conflicts=("--inetd",), requires=_SORTING),
    Option("--eostudy-timeout", "-tos", "specifies a timeout of t seconds for\nend-of-study determination",
           "[t]imeout: integer", (Argument("timeout", Kind.INTEGER, 0),),
           requires=(*_SORTING, "--exec-on-eostudy", "--rename-on-eostudy")),
    Option("--exec-sync", "-xs", "execute command synchronously in foreground"),
)
