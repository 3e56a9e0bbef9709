"""What is decided before a data set begins: its encodings, the options, and what follows from them."""

from __future__ import annotations

from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.resolve import VRs
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.uids import TransferSyntax


class Plan:
    """The constants of the engine for one pair of transfer syntaxes; never changed, shared by many data sets."""

    __slots__ = (
        "convert_un",
        "create_groups",
        "delimits",
        "dictionary",
        "drop_groups",
        "key",
        "most_levels",
        "nests",
        "new_vrs",
        "options",
        "silent",
        "syntax_in",
        "syntax_out",
        "vrs",
        "wanted",
    )

    def __init__(self, syntax_in: TransferSyntax, syntax_out: TransferSyntax, options: OutputOptions,
                 dictionary: Dictionary, wanted: frozenset[int]) -> None:
        self.syntax_in = syntax_in
        self.syntax_out = syntax_out
        self.options = options
        self.dictionary = dictionary
        self.vrs = VRs(dictionary)
        self.wanted = wanted  #: top-level tags whose values are kept
        self.key = syntax_in.uid, syntax_out.uid
        self.convert_un = options.convert_un
        self.new_vrs = options.new_vrs
        self.create_groups = options.group_lengths is GroupLengths.CREATE
        #: also for CREATE: storescp removes all first, so the length of an empty group does not survive
        self.drop_groups = options.group_lengths is not GroupLengths.RECALCULATE
        self.silent = syntax_in.explicit_vr and not syntax_out.explicit_vr  #: VRs that were said are not written
        self.delimits = not options.explicit_lengths  #: sequences and items end with delimiters
        self.most_levels = 2 * options.max_depth  #: of open sequences and items
        #: sequences and items need no more than their lengths corrected
        self.nests = not options.item_padding and not self.create_groups

    @property
    def recognises(self) -> bool:
        """Whether headers can be recognised: shapes are read in little endian, and know nothing of ``+uc``."""
        return self.syntax_in.little_endian and not self.convert_un
