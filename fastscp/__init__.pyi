from fastscp.embedding.options import ReceiverOptions as ReceiverOptions
from fastscp.embedding.receiver import Receiver as Receiver
from fastscp.embedding.records import CompletedStudy as CompletedStudy
from fastscp.embedding.records import Refusal as Refusal
from fastscp.embedding.records import StoredObject as StoredObject
from fastscp.embedding.records import StudyFile as StudyFile

__version__: str
__date__: str
IMPLEMENTATION_CLASS_UID: str
IMPLEMENTATION_VERSION_NAME: str
__all__ = ["CompletedStudy", "Receiver", "ReceiverOptions", "Refusal", "StoredObject", "StudyFile", "__version__"]
