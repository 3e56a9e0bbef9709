"""What an association acceptor is willing to negotiate, as one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class AbstractSyntaxRule:
    """How presentation contexts of one abstract syntax are answered.

    ``transfer_syntaxes`` is the acceptor's order of preference. ``scu_role`` and ``scp_role`` are what is
    answered to a role selection item that proposes them; None when no role selection is answered.
    ``extended`` is the application information returned for SOP class extended negotiation (57H... item
    56H), None when it is not answered. (PS3.7 Annex D.3.3)
    """

    transfer_syntaxes: tuple[str, ...]
    scu_role: bool | None = None
    scp_role: bool | None = None
    extended: bytes | None = None


@dataclass(frozen=True)
class NegotiationPolicy:
    """Everything that decides between A-ASSOCIATE-AC and A-ASSOCIATE-RJ."""

    rules: Mapping[str, AbstractSyntaxRule] = field(default_factory=dict)
    #: answer for abstract syntaxes without a rule (``--promiscuous``); None refuses them (result 3)
    unknown_rule: AbstractSyntaxRule | None = None
    #: abstract syntaxes that stay refused although ``unknown_rule`` is set (known, but not storage)
    never_unknown: frozenset[str] = frozenset()
    ae_title: str = "STORESCP"
    max_pdu_length: int = 16384
    refuse: bool = False  #: ``--refuse``
    require_called: bool = False  #: ``--require-called-aet``: only ``ae_title`` may be called
    reject_without_implementation_class_uid: bool = False  #: ``--reject``
    implementation_class_uid: str = ""
    implementation_version_name: str = ""
