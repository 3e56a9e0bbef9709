"""The manual pages and docs/options.md, written from the option tables.

``scripts/generate-docs`` puts them into files; a test fails when those are not current.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from fastscp import __date__, __version__
from fastscp.cli import conv, studies
from fastscp.cli.option import Kind, Option, Origin
from fastscp.cli.options import OPTIONS, headings

_DESCRIPTION = (
    "fastscp is a Service Class Provider (SCP) for the Storage Service Class of DICOM. It listens on a TCP port, "
    "receives images and other composite objects and stores them as files; it answers the Verification Service "
    "Class too. It takes the command line of DCMTK's storescp and does what storescp does with it, for many "
    "associations at once on a pool of processes."
)
_COMMAND_LINE = (
    ("Options begin with - or + and may stand before or after the port. Where options exclude one another the "
    "rightmost counts, and whether options go together is judged on what is then in effect. There are no "
    "abbreviations and no --option=value; an option takes its arguments from what follows it, whatever that looks "
    "like."),
    ("An argument @file is replaced by the words in that file. Words are separated by blanks and line ends; "
    "quotation marks, single or double, keep them together and are removed. A command file cannot contain another."),
)
_LOGGING = (
    "Warnings and errors go to the standard error stream. --verbose adds what happens per association and object, "
    "--debug the association parameters and DIMSE messages; --quiet leaves only fatal errors. --log-config reads "
    "the configuration files of DCMTK's logger; see docs/logging.md."
)
_EXIT_STATUS = (
    ("0", "fastscp printed what it was asked to print, or served until it was told to stop."),
    ("1", "The command line was refused, or the service could not start."),
)
_ENVIRONMENT = (
    ("DCMDICTPATH", "Data dictionaries to load, separated by colons, in DCMTK's format."),
    ("LISTEN_FDS", "Sockets passed by systemd are used instead of the port."),
    ("NOTIFY_SOCKET", "systemd is told when the service is ready."),
)
_FILES = (
    ("/etc/hosts.allow, /etc/hosts.deny", "Host access rules for --access-control, see hosts_access(5)."),
)
#: how help texts state a default
_DEFAULT = re.compile(r"\s*\(default(?:: ([^)]*))?\)")
Entries = tuple[tuple[str, str], ...]

_CONV_DESCRIPTION = (
    ("fastscp-conv reads a DICOM file and writes it as fastscp would store it under the same output options. The options are those of DCMTK's dcmconv."),
    ("The output appears under its name only when it is complete; when the conversion fails, a file of that name "
    "stays as it was. The output may be the input. An output that is a device or a pipe gets the octets when all of "
    "them are there."),
)
_CONV_COMMAND_LINE = (
    "Options may stand before, between or after the file names. Where options exclude one another the rightmost counts."
)
_CONV_EXIT_STATUS = (
    ("0", "The output was written, or fastscp-conv printed what it was asked to print."),
    ("1", "The command line was refused, or a file could not be read, converted or written; a message says why."),
)

_STUDIES_DESCRIPTION = (
    ("fastscp-studies shows what a running or stopped fastscp keeps of its studies and hooks: the studies that are open, "
    "and the hooks that failed for good. It has such hooks executed again, or forgotten."),
    ("It reads the state without disturbing the service. What it asks for is done by the service: within seconds while it "
    "runs, else at its next start."),
)
_STUDIES_EXIT_STATUS = (
    ("0", "The list was printed, or the request was made."),
    ("1", "The command line was refused, there is no such hook, or the state could not be read; a message says why."),
)


def rules(option: Option, table: tuple[Option, ...] = OPTIONS) -> list[str]:
    """Return what else has to be known about ``option``, one sentence each."""
    sentences = []
    if option.tls:
        sentences.append("Only with --enable-tls.")
    if option.requires:
        sentences.append(f"Only with {_any_of(option.requires)}.")
    conflicts = (*option.conflicts, *(other.long for other in table if option.long in other.conflicts))
    if conflicts:
        sentences.append(f"Not with {_any_of(conflicts)}.")
    if option.repeatable:
        sentences.append("May be given several times.")
    for argument in option.arguments:
        if argument.kind is Kind.INTEGER and argument.minimum is not None:
            upper = f" to {argument.maximum}" if argument.maximum is not None else " or more"
            sentences.append(f"{argument.name.capitalize()}: {argument.minimum}{upper}.")
        if argument.kind is Kind.SIZE:
            sentences.append("Size: octets, or K, M, G or T of them.")
        if argument.kind is Kind.SHARE:
            sentences.append("Size: octets, K, M, G or T of them, or a percentage of the file system.")
        if argument.longest is not None:
            sentences.append(f"{argument.name.capitalize()}: at most {argument.longest} characters.")
    return sentences


def _any_of(names: tuple[str, ...]) -> str:
    return " or ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def options_markdown() -> str:
    """Return docs/options.md."""
    return options_page("Options", "fastscp [options] [port]", _COMMAND_LINE, OPTIONS)


def options_page(title: str, synopsis: str, paragraphs: tuple[str, ...], table: tuple[Option, ...]) -> str:
    """Return a page with the options of one program."""
    lines = [
        f"# {title}",
        "",
        "<!-- Written by scripts/generate-docs from the option table; do not edit. -->",
        "",
        "```text",
        synopsis,
        "```",
        "",
        *(f"{paragraph}\n" for paragraph in paragraphs),
        'The column "Default" says what holds without the option: of several that exclude one another, the one that is "on".',
        'The column "Of" says whose option it is: of storescp as its 3.6.1 manual has it, of later versions of',
        "storescp, or fastscp's own.",
    ]
    group = ""
    for heading, subheading, options in headings(table):
        if heading != group:
            lines += ["", f"## {heading[0].upper()}{heading[1:]}"]
            group = heading
        if subheading:
            lines += ["", f"### {subheading[0].upper()}{subheading[1:]}"]
        lines += ["", "| Option | Arguments | Meaning | Default | Of |", "| --- | --- | --- | --- | --- |"]
        lines += (_row(option, table) for option in options)
    return "\n".join(lines) + "\n"


def _row(option: Option, table: tuple[Option, ...]) -> str:
    flags = " ".join(f"`{flag}`" for flag in option.flags)
    arguments = " ".join(f"*{argument.name}*" for argument in option.arguments)
    choices = " ".join(f"One of {_any_of(argument.choices)}." for argument in option.arguments if argument.choices)
    meaning = _one_line(_DEFAULT.sub("", option.help))
    text = " ".join(filter(None, (f"{meaning[0].upper()}{meaning[1:]}.", choices, *rules(option, table))))
    owner = {Origin.MANUAL: "3.6.1", Origin.NEWER: "newer", Origin.OWN: "fastscp"}[option.origin]
    return f"| {flags} | {arguments} | {text.replace('|', chr(92) + '|')} | {default(option)} | {owner} |"


def default(option: Option) -> str:
    """Return what holds when ``option`` is not given, as its help says it, or its entry in the table."""
    if option.default or "(default)" in option.help:
        return "on"
    stated = _DEFAULT.search(_one_line(f"{option.label} {option.help}"))
    if stated is not None:
        return stated[1].strip('"')
    if option.absent:
        return option.absent
    if option.ends:
        return ""
    return "none" if option.arguments else "off"


def _unstated(option: Option) -> list[str]:
    """Say what holds without ``option`` where its help does not."""
    said = _DEFAULT.search(_one_line(f"{option.label} {option.help}"))
    return [] if said or not option.arguments else [f"Default: {default(option)}."]


def manual_page() -> str:
    """Return the manual page fastscp(1) in the man macros of roff."""
    return "\n".join([
        *beginning("fastscp", "DICOM storage (C-STORE) SCP", "[\\fIoptions\\fR] [\\fIport\\fR]", "the option table"),
        roff(_DESCRIPTION),
        ".SH PARAMETERS",
        ".TP",
        ".I port",
        roff("TCP port to listen on. Required, except with --inetd and with sockets passed by systemd."),
        ".SH OPTIONS",
        *manual_options(OPTIONS),
        ".SH COMMAND LINE",
        ("\n.PP\n").join(roff(paragraph) for paragraph in _COMMAND_LINE),
        ".SH LOGGING",
        roff(_LOGGING),
        *lists((("EXIT STATUS", _EXIT_STATUS), ("ENVIRONMENT", _ENVIRONMENT), ("FILES", _FILES))),
        *see_also("fastscp-blast (1)", "fastscp-conv (1)", "fastscp-ingest (1)", "fastscp-studies (1)", "storescp (1)", "storescu (1)", "hosts_access (5)"),
    ]) + "\n"


def conv_manual_page() -> str:
    """Return the manual page fastscp-conv(1) in the man macros of roff."""
    return "\n".join([
        *beginning("fastscp-conv", "convert DICOM files with the output options of fastscp",
                    "[\\fIoptions\\fR] \\fIdcmfile\\-in\\fR \\fIdcmfile\\-out\\fR", "the program's option tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _CONV_DESCRIPTION),
        ".SH PARAMETERS",
        *entry(("dcmfile-in",), "I", "", "DICOM file to read."),
        *entry(("dcmfile-out",), "I", "", "DICOM file to write."),
        ".SH OPTIONS",
        *_conv_options(),
        ".SH COMMAND LINE",
        roff(_CONV_COMMAND_LINE),
        *lists((("EXIT STATUS", _CONV_EXIT_STATUS), ("ENVIRONMENT", _ENVIRONMENT[:1]))),
        *see_also("fastscp (1)", "dcmconv (1)"),
    ]) + "\n"


def studies_manual_page() -> str:
    """Return the manual page fastscp-studies(1) in the man macros of roff."""
    return "\n".join([
        *beginning("fastscp-studies", "list open studies and failed hooks of fastscp, and retry these",
                    "[\\fIoptions\\fR] \\fIcommand\\fR [\\fInumber\\fR ...]", "the program's tables"),
        ("\n.PP\n").join(roff(paragraph) for paragraph in _STUDIES_DESCRIPTION),
        ".SH COMMANDS",
        *(line for command, parameters, text in studies.COMMANDS for line in entry((command,), "B", parameters, text)),
        ".SH OPTIONS",
        *(line for short, long, argument, text in studies.OPTIONS for line in entry((short, long), "B", argument, text)),
        *lists((("EXIT STATUS", _STUDIES_EXIT_STATUS),)),
        *see_also("fastscp (1)"),
    ]) + "\n"


def beginning(program: str, summary: str, parameters: str, source: str) -> Iterator[str]:
    """Yield everything before the text of the description; ``parameters`` is roff."""
    name = roff(program)
    yield f'.\\" Written by scripts/generate-docs from {source}; do not edit.'
    yield f'.TH {program.upper()} 1 "{__date__}" "fastscp {__version__}" "User Commands"'
    yield ".SH NAME"
    yield f"{name} \\- {roff(summary)}"
    yield ".SH SYNOPSIS"
    yield f".B {name}"
    yield parameters
    yield ".SH DESCRIPTION"


def lists(sections: tuple[tuple[str, Entries], ...]) -> Iterator[str]:
    """Yield sections of terms and what they mean."""
    for title, entries in sections:
        yield f".SH {title}"
        for term, text in entries:
            yield from (".TP", f".B {roff(term)}", roff(text))


def see_also(*pages: str) -> Iterator[str]:
    """Yield the section about other pages."""
    yield ".SH SEE ALSO"
    yield ",\n".join(f".BR {roff(page)}" for page in pages)


def _conv_options() -> Iterator[str]:
    for short, long, text in conv.GENERAL:
        yield from entry((short, long), "B", "", text)
    for short, long, _, text in conv.FLAGS:
        yield from entry((short, long), "B", "", text)
    for short, long, _, text in conv.NUMBERS:
        arguments, _, meaning = text.partition(": ")
        yield from entry((short, long), "B", arguments.replace("[", "").replace("]", ""), meaning)


def entry(names: tuple[str, ...], font: str, arguments: str, text: str) -> Iterator[str]:
    """Yield one term of a list, in as many spellings as it has, with its arguments."""
    yield ".TP"
    flags = ", ".join(f"\\f{font}{roff(name)}\\fR" for name in names if name)
    yield flags + "".join(f" \\fI{roff(argument)}\\fR" for argument in arguments.split())
    yield roff(text)


def manual_options(table: tuple[Option, ...]) -> Iterator[str]:
    """Yield the options of a manual page."""
    group = ""
    for heading, subheading, options in headings(table):
        if heading != group:
            yield f".SS {roff(heading)}"
            group = heading
        if subheading:
            yield ".PP"
            yield f"\\fI{roff(subheading)}\\fR"
        for option in options:
            flags = ", ".join(f"\\fB{roff(flag)}\\fR" for flag in option.flags)
            arguments = "".join(f" \\fI{roff(argument.name)}\\fR" for argument in option.arguments)
            yield ".TP"
            yield flags + arguments
            text = filter(None, (_one_line(option.label), _one_line(option.help)))
            yield "\n.br\n".join(roff(line) for line in text)
            sentences = " ".join((*rules(option, table), *_unstated(option)))
            if sentences:
                yield ".br"
                yield roff(sentences)


def roff(text: str) -> str:
    """Escape ``text``: backslashes, hyphens that are minus signs, and control characters at the start of a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped
