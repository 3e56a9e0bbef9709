"""Which options a file may have, which of them its sections about senders, and which a program that embeds the service."""

from __future__ import annotations

from fastscp.cli.option import Option

#: options of the command line alone: those that print something and end, and those about the file itself
_COMMAND_LINE_ALONE = frozenset({"--config", "--check-config", "--print-config"})

#: and those that are nothing to a program that embeds the service: it has its own arguments, and is no super server
_NOT_EMBEDDED = frozenset({"--arguments", "--check-config", "--print-config", "--inetd"})

#: options that may be different for each sender: of an object, its file and its study, and of an association
PER_SENDER = frozenset({
    # where objects go
    "--output-directory", "--sort-conc-studies", "--sort-on-study-uid", "--sort-on-patientname", "--transliterate-names",
    "--completed-directory", "--quarantine", "--ignore",
    # what their files are called
    "--default-filenames", "--unique-filenames", "--timenames", "--filename-extension", "--on-duplicate", "--rename-on-eostudy",
    # what follows
    "--exec-on-reception", "--exec-on-eoseries", "--exec-on-eostudy", "--exec-argv", "--exec-sync",
    "--eostudy-timeout", "--study-max-age", "--study-manifest", "--on-late",
    # what is negotiated and written
    "--config-file", "--prefer-uncompr", "--prefer-little", "--prefer-big", "--prefer-lossless", "--prefer-jpeg8", "--prefer-jpeg12",
    "--prefer-j2k-lossless", "--prefer-j2k-lossy", "--prefer-jls-lossless", "--prefer-jls-lossy", "--prefer-mpeg2",
    "--prefer-mpeg2-high", "--prefer-mpeg4", "--prefer-mpeg4-bd", "--prefer-mpeg4-2-2d", "--prefer-mpeg4-2-3d",
    "--prefer-mpeg4-2-st", "--prefer-hevc", "--prefer-hevc10", "--prefer-rle", "--prefer-deflated", "--implicit", "--accept-all",
    "--promiscuous", "--normal", "--bit-preserving",
    # how much
    "--max-associations", "--max-object-size", "--max-inflated-size", "--min-free", "--association-timeout", "--object-timeout",
    "--dimse-timeout",
})


def in_file(option: Option) -> bool:
    """Tell whether an option may be a key of a configuration file."""
    return not option.ends and option.long not in _COMMAND_LINE_ALONE


def in_section(option: Option) -> bool:
    """Tell whether an option may be a key of a section about a sender."""
    return option.long in PER_SENDER


def in_program(option: Option) -> bool:
    """Tell whether an option may be a keyword argument of ``fastscp.Receiver``."""
    return not option.ends and option.long not in _NOT_EMBEDDED
