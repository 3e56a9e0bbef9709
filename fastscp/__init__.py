"""fastscp: a multi-process DICOM Storage SCP that takes storescp's command line, and can be had from Python (docs/embedding.md)."""

from fastscp import lazy

__all__ = ["CompletedStudy", "Receiver", "ReceiverOptions", "Refusal", "StoredObject", "StudyFile", "__version__"]

__version__ = "4.0.0"
__date__ = "2026-11-23"

#: (0002,0012) Implementation Class UID: a UUID-derived root (PS3.5 Annex B.2).
IMPLEMENTATION_CLASS_UID = "2.25.132366830664503995577723828963191258284"
#: (0002,0013) Implementation Version Name, at most 16 characters.
IMPLEMENTATION_VERSION_NAME = "FASTSCP_400"

__getattr__ = lazy.names("fastscp", {
    "CompletedStudy": "fastscp.embedding.records",
    "Receiver": "fastscp.embedding.receiver",
    "ReceiverOptions": "fastscp.embedding.options",
    "Refusal": "fastscp.embedding.records",
    "StoredObject": "fastscp.embedding.records",
    "StudyFile": "fastscp.embedding.records",
})
