"""What is written from the option table of ``fastscp-ingest``: manual page, options, completion."""

from __future__ import annotations

from fastscp.cli.completion import bash_completion, zsh_completion
from fastscp.cli.documents import beginning, entry, lists, manual_options, options_page, roff, see_also
from fastscp.cli.options_ingest import TABLE

_PROGRAM = "fastscp-ingest"
_DESCRIPTION = (
    ("fastscp-ingest stores DICOM files as fastscp stores what it receives: under the same names, octet for octet the same, "
     "sorted into the same directories, with the same hooks and events. It is as if all of them had been sent over one "
     "association, in the order in which they are found."),
    ("It reads files, directories, tar archives (also compressed with gzip, bzip2, xz or Zstandard) and zip archives, without "
     "unpacking them to disk, and the files that a DICOMDIR names. What is no DICOM is listed and counted."),
    ("A run that was interrupted or killed goes on with --resume where it stopped: nothing is stored twice, and hooks run once."),
)
_COMMAND_LINE = (
    ("Options begin with - or + and may stand before, between or after the paths. Where options exclude one another the "
     "rightmost counts. There are no abbreviations and no --option=value. A path that begins with - or + is written as ./-path."),
    ("An argument @file is replaced by the words in that file, as in fastscp."),
)
_EXIT_STATUS = (
    ("0", "Everything that is DICOM was stored, or was stored before."),
    ("1", "Something was refused or quarantined, or could not be read; with --strict also: something was no DICOM."),
    ("2", "The command line was refused, or the run could not begin; nothing was done."),
    ("3", "The run was interrupted; --resume goes on with it."),
)
_SIGNALS = (
    ("SIGINT, SIGTERM, SIGHUP", "Finish the objects that are being published and end; a second one ends at once."),
)
_ENVIRONMENT = (
    ("DCMDICTPATH", "Data dictionaries to load, separated by colons, in DCMTK's format."),
)
_FILES = (
    (".fastscp/ingest.sqlite", "The journal, in the output directory or in the directory that --state-dir names."),
)
_PATH = ("A file, a directory, an archive, a DICOMDIR, or a pattern with * ? [] and ** for directories at any depth; - reads "
         "a list of such from standard input.")


def ingest_manual_page() -> str:
    """Return the manual page fastscp-ingest(1) in the man macros of roff."""
    return "\n".join([
        *beginning(_PROGRAM, "store DICOM files as fastscp stores what it receives", "[\\fIoptions\\fR] \\fIpath\\fR ...",
                   "the option table"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH PARAMETERS",
        *entry(("path",), "I", "", _PATH),
        ".SH OPTIONS",
        *manual_options(TABLE.options),
        ".SH COMMAND LINE",
        ("\n.PP\n").join(roff(paragraph) for paragraph in _COMMAND_LINE),
        *lists((("EXIT STATUS", _EXIT_STATUS), ("SIGNALS", _SIGNALS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES))),
        *see_also("fastscp (1)", "fastscp-studies (1)", "storescp (1)"),
    ]) + "\n"


def ingest_options_markdown() -> str:
    """Return docs/options-ingest.md."""
    return options_page(f"Options of {_PROGRAM}", f"{_PROGRAM} [options] path ...", (*_COMMAND_LINE, (
        "Output and event options mean what they mean in [fastscp](options.md); [ingest.md](ingest.md) shows how it is used.")),
        TABLE.options)


def ingest_bash_completion() -> str:
    """Return the completion script for bash."""
    return bash_completion(_PROGRAM, TABLE.options, paths=True)


def ingest_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return zsh_completion(_PROGRAM, TABLE.options, "*:path:_files")
