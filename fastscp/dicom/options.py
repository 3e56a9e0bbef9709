"""What the rewrite engine is asked to do: storescp's output options as one frozen object."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from fastscp.dicom.uids import NATIVE_TRANSFER_SYNTAXES
from fastscp.errors import UsageError


class GroupLengths(enum.Enum):
    """Treatment of group length elements (gggg,0000): ``+g=``, ``+g``, ``-g``."""

    RECALCULATE = "recalculate"
    CREATE = "create"
    REMOVE = "remove"


class PrivateDictionary(enum.Enum):
    """Whether pydicom's private attributes are known beside those of DCMDICTPATH: ``--private-dictionary``."""

    AUTOMATIC = "automatic"  #: unless DCMDICTPATH names private attributes, which then are all there are, as in DCMTK
    PYDICOM = "pydicom"
    NONE = "none"


@dataclass(frozen=True)
class OutputOptions:
    """Output options of the manual; the defaults are storescp's defaults.

    Raises UsageError for values that the engine cannot work with.
    """

    bit_preserving: bool = False  #: ``+B``: every received octet goes to the file unchanged
    file_format: bool = True  #: ``+F`` True: PS3.10 file; ``-F`` False: bare data set
    transfer_syntax: str | None = None  #: ``+te +tb +ti +td`` as UID; None is ``+t=``
    new_vrs: bool = True  #: ``+u`` True, ``-u`` False: VRs of after 1993 become OB or UN
    group_lengths: GroupLengths = GroupLengths.RECALCULATE
    explicit_lengths: bool = True  #: ``+e`` True, ``-e`` False, for sequences and items
    file_padding: int = 0  #: ``+p`` first argument, octets; 0 is ``-p``
    item_padding: int = 0  #: ``+p`` second argument, octets
    compression_level: int = 6  #: ``+cl``, only for deflated output
    convert_un: bool = False  #: ``+uc`` True, ``-uc`` False
    max_depth: int = 64  #: nesting of sequences accepted before the object is refused
    #: of a deflated data set, when it is inflated; 0 for any number. No value is longer than the default
    max_inflated_octets: int = 1 << 32
    #: data dictionaries in DCMTK's format added to the built-in one (DCMDICTPATH)
    dictionary_paths: tuple[str, ...] = ()
    private_dictionary: PrivateDictionary = PrivateDictionary.AUTOMATIC

    def __post_init__(self) -> None:
        if self.transfer_syntax not in {None, *NATIVE_TRANSFER_SYNTAXES}:
            raise UsageError(f"data sets are not written in transfer syntax {self.transfer_syntax}")
        if not 0 <= self.compression_level <= 9:
            raise UsageError(f"compression level {self.compression_level} is not between 0 and 9")
        if self.file_padding < 0 or self.item_padding < 0:
            raise UsageError(f"padding to {self.file_padding} and {self.item_padding} octets: a length is negative")
        if self.max_inflated_octets < 0:
            raise UsageError(f"data sets inflated to {self.max_inflated_octets} octets: a length is negative")
        if self.max_depth < 1:
            raise UsageError(f"nesting of {self.max_depth} leaves no place for a sequence")
