"""fastscp-conv: rewrite a DICOM file with storescp's output options, in dcmconv's spelling.

usage: fastscp-conv [options] dcmfile-in dcmfile-out

The output appears under its name only when it is complete. Exit status 0, or 1 with a message.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, Final

from fastscp import __date__, __version__, errors
from fastscp.cli.libraries import libraries
from fastscp.cli.output import write
from fastscp.cli.parse import suggestion
from fastscp.dicom import uids
from fastscp.dicom.filesink import FileSink
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.rewriting import rewrite

GENERAL: Final[tuple[tuple[str, str, str], ...]] = (
    ("-h", "--help", "print this help text and exit"),
    ("", "--version", "print version information and exit"),
)
#: short flag, long flag, what it sets in OutputOptions, help
FLAGS: Final[tuple[tuple[str, str, dict[str, Any], str], ...]] = (
    ("+F", "--write-file", {"file_format": True}, "write file format (default)"),
    ("-F", "--write-dataset", {"file_format": False}, "write data set without file meta information"),
    ("+B", "--bit-preserving", {"bit_preserving": True}, "write the data set exactly as read"),
    ("+t=", "--write-xfer-same", {"transfer_syntax": None}, "write with same TS as input (default)"),
    ("+te", "--write-xfer-little", {"transfer_syntax": uids.EXPLICIT_VR_LITTLE_ENDIAN},
     "write with explicit VR little endian TS"),
    ("+tb", "--write-xfer-big", {"transfer_syntax": uids.EXPLICIT_VR_BIG_ENDIAN},
     "write with explicit VR big endian TS"),
    ("+ti", "--write-xfer-implicit", {"transfer_syntax": uids.IMPLICIT_VR_LITTLE_ENDIAN},
     "write with implicit VR little endian TS"),
    ("+td", "--write-xfer-deflated", {"transfer_syntax": uids.DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN},
     "write with deflated explicit VR little endian TS"),
    ("+u", "--enable-new-vr", {"new_vrs": True}, "enable support for new VRs (default)"),
    ("-u", "--disable-new-vr", {"new_vrs": False}, "disable support for new VRs, convert to OB"),
    ("-uc", "--retain-un", {"convert_un": False}, "retain elements as UN (default)"),
    ("+uc", "--convert-un", {"convert_un": True}, "convert to real VR if known"),
    ("+g=", "--group-length-recalc", {"group_lengths": GroupLengths.RECALCULATE},
     "recalculate group lengths if present (default)"),
    ("+g", "--group-length-create", {"group_lengths": GroupLengths.CREATE},
     "always write with group length elements"),
    ("-g", "--group-length-remove", {"group_lengths": GroupLengths.REMOVE},
     "always write without group length elements"),
    ("+e", "--length-explicit", {"explicit_lengths": True}, "write with explicit lengths (default)"),
    ("-e", "--length-undefined", {"explicit_lengths": False}, "write with undefined lengths"),
    ("-p", "--padding-off", {"file_padding": 0, "item_padding": 0}, "no padding (default)"),
)
#: short flag, long flag, the number in OutputOptions each argument sets, "arguments: help"
NUMBERS: Final[tuple[tuple[str, str, tuple[str, ...], str], ...]] = (
    ("+p", "--padding-create", ("file_padding", "item_padding"),
     "[f]ile-pad [i]tem-pad: align file on multiple of f and items on i octets"),
    ("+cl", "--compression-level", ("compression_level",), "[l]evel: deflate with level 0..9 (default 6)"),
)


def _help() -> str:
    lines = [f"$fastscp: fastscp-conv v{__version__} {__date__} $", "", "usage: fastscp-conv [options] dcmfile-in dcmfile-out",
             "", "options:"]
    lines += [f"  {short:5} {long:26} {text}" for short, long, text in GENERAL]
    lines += [f"  {short:5} {long:26} {text}" for short, long, _, text in FLAGS]
    lines += [f"  {short:5} {long:26} {text}" for short, long, _, text in NUMBERS]
    return "\n".join(lines)


def _number(option: str, text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise errors.UsageError(f"invalid value {text!r} for {option}")
    return int(text)


def parse(arguments: Sequence[str], environment: Callable[[str], str | None]) -> tuple[OutputOptions, list[str]]:
    """Return options and file names. Raises UsageError."""
    settings: dict[str, Any] = {}
    names: list[str] = []
    flags = {name: values for short, long, values, _ in FLAGS for name in (short, long)}
    counted = {name: fields for short, long, fields, _ in NUMBERS for name in (short, long)}
    rest = iter(arguments)
    for argument in rest:
        if argument in flags:
            settings.update(flags[argument])
        elif argument in counted:
            for field in counted[argument]:
                settings[field] = _number(argument, next(rest, ""))
        elif argument[:1] in {"-", "+"} and len(argument) > 1:
            raise errors.UsageError(f"unknown option {argument}" + suggestion(argument, (*flags, *counted)))
        else:
            names.append(argument)
    if len(names) != 2:
        raise errors.UsageError("two file names are needed")
    if settings.get("compression_level", 6) > 9:
        raise errors.UsageError("compression level must be 0..9")
    paths = tuple(part for part in (environment("DCMDICTPATH") or "").split(":") if part)
    return dataclasses.replace(OutputOptions(dictionary_paths=paths, max_inflated_octets=0), **settings), names


def convert(source: str, target: str, options: OutputOptions) -> None:
    """Rewrite one file. Raises OSError, InstanceError or StorageError; the target is then as before.

    A target that is a device or a pipe gets the octets when all of them are there.
    """
    with Path(source).open("rb") as file:
        if Path(target).exists() and not Path(target).is_file():
            with tempfile.TemporaryFile() as output:
                rewrite(file, FileSink(output), options)
                output.seek(0)
                with Path(target).open("wb") as device:
                    shutil.copyfileobj(output, device)
            return
        destination = Path(target).resolve()
        with _beside(destination, target) as output:
            try:
                rewrite(file, FileSink(output), options)
                os.fchmod(output.fileno(), _mode(destination))
                output.close()
                Path(output.name).replace(destination)
            except BaseException:
                Path(output.name).unlink()
                raise


def _beside(destination: Path, target: str) -> IO[bytes]:
    """Return a new file in the directory of the destination; errors name the target as it was given."""
    try:
        return tempfile.NamedTemporaryFile("w+b", dir=destination.parent, delete=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, target) from error


def _mode(destination: Path) -> int:
    """Return the permissions of the file that is replaced, or those of a new one."""
    if destination.exists():
        return destination.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if not arguments or not {"-h", "--help"}.isdisjoint(arguments):
        return write(1, _help() + "\n")
    if "--version" in arguments:
        return write(1, f"$fastscp: fastscp-conv v{__version__} {__date__} $\n\n{libraries()}")
    try:
        options, names = parse(arguments, os.environ.get)
        convert(names[0], names[1], options)
    except errors.FastscpError as error:
        write(2, f"fastscp-conv: {error}\n")
        return 1
    except OSError as error:
        write(2, f"fastscp-conv: {error.filename or names[1]}: {error.strerror}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
