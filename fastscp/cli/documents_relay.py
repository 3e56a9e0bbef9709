"""What is written from the table of ``fastscp-relay``: manual page and completion."""

from __future__ import annotations

from fastscp.cli.documents import beginning, entry, lists, roff, see_also
from fastscp.cli.documents_events import flags_bash_completion, flags_zsh_completion
from fastscp.cli.relay import BROKER, OPTIONS, PASSWORD, PROGRAM, STATE

_DESCRIPTION = (
    ("fastscp-relay carries the events of a fleet of fastscp to a message broker: to a stream of Redis. Every event gets there at least "
     "once, and those of one study in their order. An entry has the fields key, which is the Study Instance UID, event, position and body, the "
     "latter in JSON as fastscp-events prints it."),
    ("What the broker has is confirmed in the database, and the next start goes on behind it. When the broker or the database is away, it "
     "waits for them. Of several with one name one works, and the others stand by. It needs fastscp[relay]."),
)
_ENVIRONMENT = (
    (STATE, "The database, where --state is not given. PGPASSFILE and the like are those of PostgreSQL."),
    (BROKER, "The broker, where --relay is not given."),
    (PASSWORD, "The password for the broker, where its URL has none."),
)
_EXIT_STATUS = (
    ("0", "It was terminated, or with --once nothing is left."),
    ("1", "The command line was refused; with --once also: something is away, or another one of this name is at work."),
)


def relay_manual_page() -> str:
    """Return the manual page fastscp-relay(1) in the man macros of roff."""
    return "\n".join([
        *beginning(PROGRAM, "carry the events of a fleet of fastscp to a broker", "[\\fIoptions\\fR]", "the program's tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _DESCRIPTION),
        ".SH OPTIONS",
        *(line for short, long, argument, text in OPTIONS for line in entry((short, long), "B", argument, text)),
        *lists((("ENVIRONMENT", _ENVIRONMENT), ("EXIT STATUS", _EXIT_STATUS))),
        *see_also("fastscp (1)", "fastscp-events (1)"),
    ]) + "\n"


def relay_bash_completion() -> str:
    """Return the completion script for bash."""
    return flags_bash_completion(PROGRAM, OPTIONS)


def relay_zsh_completion() -> str:
    """Return the completion script for zsh."""
    return flags_zsh_completion(PROGRAM, OPTIONS)
