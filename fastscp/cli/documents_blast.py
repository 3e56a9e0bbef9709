"""What is written from the option table of ``fastscp-blast``: manual page, options, completion."""

from __future__ import annotations

from fastscp.cli.completion import bash_completion, zsh_completion
from fastscp.cli.documents import beginning, entry, lists, manual_options, options_page, roff, see_also
from fastscp.cli.options_blast import TABLE

_PROGRAM = "fastscp-blast"
_DESCRIPTION = (
    ("fastscp-blast sends copies of DICOM objects to a Storage SCP, over as many associations and as fast as it is told, and says "
     "how many were taken a second and how long each took. Every copy has SOP Instance, Series and Study Instance UIDs of its own."),
    ("With --verify or --verify-events it then looks for every object that was acknowledged, and names those that are lost, damaged, "
     "double or unasked-for."),
    ("What is sent has no other purpose than that: do not send it to a system with patients in it."),
)
_COMMAND_LINE = (
    ("Options begin with - or + and may stand before, between or after the parameters. There are no abbreviations and no "
     "--option=value. A path that begins with - or + is written as ./-path."),
    ("An argument @file is replaced by the words in that file, as in fastscp."),
)
_EXIT_STATUS = (
    ("0", "Everything was acknowledged with success or a warning, and found where that was asked for."),
    ("1", "Something was refused or lost its association, or was not found as it was sent."),
    ("2", "The command line was refused, or the run could not begin; nothing was sent."),
    ("3", "The run was interrupted; the result is of what was sent until then."),
)
_SIGNALS = (
    ("SIGINT, SIGTERM", "Finish the objects that are under way, release, and show the result; a second one ends at once."),
)
_PARAMETERS = (
    ("host", "Name or address of the Storage SCP."),
    ("port", "Its TCP port."),
    ("path", ("A DICOM file, or a directory of such at any depth. They are sent in turn, in their transfer syntaxes. "
              "Without paths a synthetic load is sent.")),
)


def blast_manual_page() -> str:
    """Return the manual page fastscp-blast(1) in the man macros of roff."""
    return "\n".join([
        *beginning(_PROGRAM, "load-test a DICOM storage (C-STORE) SCP", "[\\fIoptions\\fR] \\fIhost\\fR \\fIport\\fR [\\fIpath\\fR ...]",
                   "the option table"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH PARAMETERS",
        *(line for name, text in _PARAMETERS for line in entry((name,), "I", "", text)),
        ".SH OPTIONS",
        *manual_options(TABLE.options),
        ".SH COMMAND LINE",
        ("\n.PP\n").join(roff(paragraph) for paragraph in _COMMAND_LINE),
        *lists((("EXIT STATUS", _EXIT_STATUS), ("SIGNALS", _SIGNALS))),
        *see_also("fastscp (1)", "storescu (1)"),
    ]) + "\n"


def blast_options_markdown() -> str:
    """Return docs/options-blast.md."""
    return options_page(f"Options of {_PROGRAM}", f"{_PROGRAM} [options] host port [path ...]",
                        (*_COMMAND_LINE, "[blast.md](blast.md) shows how they are used."), TABLE.options)


def blast_bash_completion() -> str:
    """Return the completion script for bash."""
    return bash_completion(_PROGRAM, TABLE.options, paths=True)


def blast_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return zsh_completion(_PROGRAM, TABLE.options, "*:path:_files")
