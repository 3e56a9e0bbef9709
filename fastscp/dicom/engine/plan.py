"""What is decided before a data set begins: its encodings, the options, and what follows from them."""

from __future__ import annotations

from fastscp import core
from fastscp.dicom import uid_value
from fastscp.dicom.dictionary import Dictionary
from fastscp.dicom.engine.resolve import VRs
from fastscp.dicom.options import GroupLengths, OutputOptions
from fastscp.dicom.uids import TransferSyntax
from fastscp.dicom.vr import KINDS_LITTLE, WIDTHS_LITTLE


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
        "walk",
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
        self.walk = self._compiled_walk()  #: None: the functions of ``fastscp.dicom.engine.walk`` do it

    def _compiled_walk(self) -> core.Walk | None:
        syntax_in, syntax_out = self.syntax_in, self.syntax_out
        explicit, out_explicit = syntax_in.explicit_vr, syntax_out.explicit_vr
        if not core.ACTIVE or self.convert_un or (not explicit and out_explicit):
            return None
        return core.Walk(
            explicit=explicit, little=syntax_in.little_endian, out_explicit=out_explicit, out_little=syntax_out.little_endian,
            delimits=self.delimits, creates=self.create_groups, keeps_long=self.new_vrs, most_levels=self.most_levels,
            padding=self.options.item_padding, wanted=self.wanted, kinds=self.dictionary.kinds, sequences=self.dictionary.sequences, kinds_of_vrs=KINDS_LITTLE,
            widths=WIDTHS_LITTLE, blanks=uid_value.BLANKS, reserve=self.vrs.reserve)

    @property
    def recognises(self) -> bool:
        """Whether headers can be recognised: shapes are read in little endian, and know nothing of ``+uc``."""
        return self.syntax_in.little_endian and not self.convert_un
