"""Tags that the code knows by name; a tag is one number, ``group << 16 | element``.

Source: PS3.6 §6, §7 and §8
"""

from __future__ import annotations

from typing import Final

SPECIFIC_CHARACTER_SET: Final = 0x00080005
SOP_CLASS_UID: Final = 0x00080016
SOP_INSTANCE_UID: Final = 0x00080018
MODALITY: Final = 0x00080060
PATIENT_NAME: Final = 0x00100010
PATIENT_ID: Final = 0x00100020
STUDY_INSTANCE_UID: Final = 0x0020000D
SERIES_INSTANCE_UID: Final = 0x0020000E
PIXEL_REPRESENTATION: Final = 0x00280103
WAVEFORM_BITS_ALLOCATED: Final = 0x54001004
PIXEL_DATA: Final = 0x7FE00010
PADDING: Final = 0xFFFCFFFC  #: Data Set Trailing Padding (PS3.10 §7.2)

LAST_TAG: Final = 0xFFFBFFFF  #: padding and delimiters are behind it

# Items and delimiters: not elements, and without a VR in every transfer syntax (PS3.5 §7.5).
DELIMITERS: Final = 0xFFFE  #: their group
ITEM: Final = 0xFFFEE000
ITEM_OCTETS: Final = b"\xfe\xff\x00\xe0"  #: its tag in little endian
ITEM_END: Final = 0xFFFEE00D  #: Item Delimitation Item
SEQUENCE_END: Final = 0xFFFEE0DD  #: Sequence Delimitation Item

# File meta information (PS3.10 §7.1).
MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x00020002
MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x00020003
TRANSFER_SYNTAX_UID: Final = 0x00020010
SOURCE_APPLICATION_ENTITY_TITLE: Final = 0x00020016
