"""Tells a requestor the result of its request on an association of ours, as SCP of the class: pynetdicom does it.

pynetdicom is an extra (``fastscp[commitment]``); it is imported by the process that tells, and by no other.

Source: PS3.4 §J.3.3; PS3.7 §D.3.3.4 (role selection)
"""

from __future__ import annotations

import io
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastscp.commitment.messages import Result, encode_result
from fastscp.commitment.policy import SOP_CLASS, SOP_INSTANCE, CommitmentPeer
from fastscp.errors import FastscpError

if TYPE_CHECKING:
    from pynetdicom.association import Association

_IMPLICIT, _EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
_CONNECT_S, _ANSWER_S = 10.0, 30.0


class NotToldError(FastscpError):
    """The requestor does not know the result; the text says why."""


@dataclass(frozen=True)
class Credentials:
    """How we present ourselves with TLS, and whom we trust: PEM files, and directories of openssl-rehash(1)."""

    certificate_file: str = ""
    private_key_file: str = ""
    password: str | None = None  #: of the key; it is never asked for
    ca_files: tuple[str, ...] = ()
    ca_directories: tuple[str, ...] = ()


def tell(peer: CommitmentPeer, our_title: str, result: Result, tls: ssl.SSLContext | None) -> None:
    """Send the N-EVENT-REPORT, once. Raises NotToldError."""
    from pynetdicom import AE, build_role  # noqa: PLC0415 - an extra

    entity = AE(ae_title=our_title)
    entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = _ANSWER_S, _ANSWER_S, _ANSWER_S
    entity.connection_timeout = _CONNECT_S
    entity.add_requested_context(SOP_CLASS, [_EXPLICIT, _IMPLICIT])
    arguments = {"tls_args": (tls, peer.host)} if peer.tls and tls is not None else {}
    association = entity.associate(peer.host, peer.port, ae_title=peer.aet, ext_neg=[build_role(SOP_CLASS, scp_role=True)],
                                   **arguments)  # type: ignore[arg-type]
    if not association.is_established:
        raise NotToldError("it rejects the association" if association.is_rejected else "no association with it")
    try:
        _report(association, result)
    finally:
        if association.is_established:
            association.release()


def _report(association: Association, result: Result) -> None:
    from pydicom.filereader import read_dataset  # noqa: PLC0415 - slow to import

    if not any(context.abstract_syntax == SOP_CLASS for context in association.accepted_contexts):
        raise NotToldError("it does not accept Storage Commitment with the roles reversed")
    information = read_dataset(io.BytesIO(encode_result(result, explicit=True)), is_implicit_VR=False, is_little_endian=True)
    status, _ = association.send_n_event_report(information, result.event_type, SOP_CLASS, SOP_INSTANCE)
    if "Status" not in status:
        raise NotToldError("it does not answer the N-EVENT-REPORT")
    if status.Status:
        raise NotToldError(f"it answers the N-EVENT-REPORT with status {status.Status:04X}")


def context_for(credentials: Credentials) -> ssl.SSLContext:
    """Return the TLS context of an association of ours. Raises OSError for files that cannot be used.

    Without an authority nobody's certificate is verified, as with ``-ic``.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    if not credentials.ca_files and not credentials.ca_directories:
        context.verify_mode = ssl.CERT_NONE
    for file in credentials.ca_files:
        context.load_verify_locations(cafile=file)
    for directory in credentials.ca_directories:
        context.load_verify_locations(capath=directory)
    if credentials.certificate_file:
        password = credentials.password or ""
        context.load_cert_chain(credentials.certificate_file, credentials.private_key_file, password=lambda: password)
    return context
