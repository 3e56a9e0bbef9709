"""PDUs of the upper layer protocol and their items as frozen values.

Octets of the peer that are text stay available as they came where an answer must repeat them; every
decoded text is Latin-1, so code points map 1:1 to octets. P-DATA-TF has no class here: the association
streams it and never holds one.

Source: PS3.8 §9.3, PS3.7 Annex D.3.3
"""

from __future__ import annotations

from dataclasses import dataclass, field

A_ASSOCIATE_RQ = 0x01
A_ASSOCIATE_AC = 0x02
A_ASSOCIATE_RJ = 0x03
P_DATA_TF = 0x04
A_RELEASE_RQ = 0x05
A_RELEASE_RP = 0x06
A_ABORT = 0x07

#: type (1), reserved (1), length of what follows (4, big endian)
PDU_HEADER_OCTETS = 6
#: A-ASSOCIATE-RQ and -AC up to their first item, without the PDU header
ASSOCIATE_FIXED_OCTETS = 68
#: body of A-ASSOCIATE-RJ, A-RELEASE-RQ, A-RELEASE-RP and A-ABORT
FIXED_BODY_OCTETS = 4

APPLICATION_CONTEXT_NAME = "1.2.840.10008.3.1.1.1"

# Results of presentation contexts (PS3.8 Table 9-18).
ACCEPTANCE = 0
USER_REJECTION = 1
NO_REASON = 2
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

# A-ASSOCIATE-RJ (PS3.8 Table 9-21).
REJECTED_PERMANENT = 1
REJECTED_TRANSIENT = 2
REJECT_SOURCE_USER = 1
REJECT_SOURCE_ACSE = 2
REJECT_SOURCE_PRESENTATION = 3

# A-ABORT (PS3.8 Table 9-26).
ABORT_SOURCE_USER = 0
ABORT_SOURCE_PROVIDER = 2
REASON_NOT_SPECIFIED = 0
UNRECOGNIZED_PDU = 1
UNEXPECTED_PDU = 2
INVALID_PDU_PARAMETER_VALUE = 6


@dataclass(frozen=True, slots=True)
class ProposedContext:
    """Presentation context item 20H of an A-ASSOCIATE-RQ (PS3.8 §9.3.2.2)."""

    id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ContextResult:
    """Presentation context item 21H of an A-ASSOCIATE-AC (PS3.8 §9.3.3.2)."""

    id: int
    result: int
    transfer_syntax: str


@dataclass(frozen=True, slots=True)
class AsynchronousOperationsWindow:
    """Sub-item 53H; 0 means unlimited (PS3.7 §D.3.3.3)."""

    invoked: int
    performed: int


@dataclass(frozen=True, slots=True)
class RoleSelection:
    """Sub-item 54H (PS3.7 §D.3.3.4)."""

    sop_class_uid: str
    scu_role: bool
    scp_role: bool


@dataclass(frozen=True, slots=True)
class ExtendedNegotiation:
    """Sub-item 56H: service class application information of one SOP class (PS3.7 §D.3.3.5)."""

    sop_class_uid: str
    information: bytes


@dataclass(frozen=True, slots=True)
class CommonExtendedNegotiation:
    """Sub-item 57H, never answered (PS3.7 §D.3.3.6)."""

    sop_class_uid: str
    service_class_uid: str
    related_general_sop_class_uids: tuple[str, ...] = ()
    version: int = 0


@dataclass(frozen=True, slots=True)
class UserIdentity:
    """Sub-item 58H; ``kind`` 1 user name, 2 with passcode, 3 Kerberos, 4 SAML, 5 JWT (PS3.7 §D.3.3.7)."""

    kind: int
    positive_response_requested: bool
    primary: bytes = field(repr=False)
    secondary: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class UserInformation:
    """User information item 50H. ``maximum_length`` 0 or None: unlimited or not announced."""

    maximum_length: int | None = None
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
    window: AsynchronousOperationsWindow | None = None
    roles: tuple[RoleSelection, ...] = ()
    extended: tuple[ExtendedNegotiation, ...] = ()
    common_extended: tuple[CommonExtendedNegotiation, ...] = ()
    user_identity: UserIdentity | None = None
    #: sub-item 59H, only in an A-ASSOCIATE-AC
    user_identity_response: bytes | None = None


def title_text(octets: bytes) -> str:
    """AE title as text: leading and trailing spaces are not significant, nor are NULs at the end (PS3.5)."""
    return octets.rstrip(b"\0 ").lstrip(b" ").decode("latin-1")


@dataclass(frozen=True, slots=True)
class AAssociateRQ:
    """A-ASSOCIATE-RQ (PS3.8 §9.3.2). The titles are the 16 octets of the wire."""

    called_ae_octets: bytes
    calling_ae_octets: bytes
    contexts: tuple[ProposedContext, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    reserved: bytes = bytes(32)

    @property
    def called_ae_title(self) -> str:
        """Title of the acceptor as the requestor wrote it, stripped."""
        return title_text(self.called_ae_octets)

    @property
    def calling_ae_title(self) -> str:
        """Title of the requestor, stripped."""
        return title_text(self.calling_ae_octets)

    @property
    def max_pdu_length(self) -> int:
        """Longest P-DATA-TF (its length field) the requestor takes; 0: any."""
        return self.user_information.maximum_length or 0


@dataclass(frozen=True, slots=True)
class AAssociateAC:
    """A-ASSOCIATE-AC (PS3.8 §9.3.3). Titles and reserved octets repeat the request's."""

    called_ae_octets: bytes
    calling_ae_octets: bytes
    contexts: tuple[ContextResult, ...]
    user_information: UserInformation
    application_context: str = APPLICATION_CONTEXT_NAME
    protocol_version: int = 1
    reserved: bytes = bytes(32)


@dataclass(frozen=True, slots=True)
class AAssociateRJ:
    """A-ASSOCIATE-RJ (PS3.8 §9.3.4)."""

    result: int
    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class AAbort:
    """A-ABORT (PS3.8 §9.3.8)."""

    source: int
    reason: int


@dataclass(frozen=True, slots=True)
class AcceptedContext:
    """A presentation context that messages may use."""

    id: int
    abstract_syntax: str
    transfer_syntax: str
