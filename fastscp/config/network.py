"""Sockets, processes, timeouts and faults on demand, as configured."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from fastscp.proxy.policy import ProxyPolicy


class AddressFamily(enum.Enum):
    """``-i4``, ``-i6`` and ``-i0``."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    DUAL = "dual"


class ProcessMode(enum.Enum):
    """``--fork`` (the default pool), ``--single-process`` and ``--inetd``."""

    POOL = "pool"
    SINGLE = "single"
    INETD = "inetd"


class PeerVerification(enum.Enum):
    """``-rc``, ``-vc`` and ``-ic``."""

    REQUIRE = "require"
    VERIFY = "verify"
    IGNORE = "ignore"


@dataclass(frozen=True)
class TLSPolicy:
    """Every TLS option of the manual and its successors; read by ``fastscp.tls.context``."""

    private_key_file: str = ""
    certificate_file: str = ""
    #: None prompts on the terminal (``+ps``); "" is ``-pw``
    password: str | None = None
    der: bool = False  #: ``-der``
    ca_files: tuple[str, ...] = ()  #: ``+cf``
    ca_directories: tuple[str, ...] = ()  #: ``+cd``
    crl_files: tuple[str, ...] = ()  #: ``+crl``
    crl_check: bool = False  #: ``+crv``
    crl_check_all: bool = False  #: ``+cra``
    profile: str = "8996"  #: 8996, 8996-mod, bcp195-nd, bcp195, bcp195-ex, basic, aes, null
    ciphers: tuple[str, ...] = ()  #: ``+cs``, OpenSSL or TLS standard names
    dh_parameters_file: str | None = None  #: ``+dp``
    seed_file: str | None = None  #: ``+rs``
    write_seed_file: str | None = None  #: ``+ws`` (the seed file itself) or ``+wf``
    verification: PeerVerification = PeerVerification.REQUIRE
    expected_sni: str | None = None  #: ``--expect-sni``


@dataclass(frozen=True)
class NetworkPolicy:
    """The listening side and every time limit. Times are seconds; None means unlimited."""

    port: int | None = None
    address_family: AddressFamily = AddressFamily.IPV4
    mode: ProcessMode = ProcessMode.POOL
    workers: int | None = None  #: ``--workers``; None: as many as usable CPUs
    max_associations: int | None = None
    max_per_host: int | None = None  #: ``--max-associations-per-host``
    max_per_title: int | None = None  #: ``--max-associations-per-aet``; of the calling application entity
    association_timeout_s: float | None = None  #: in total, from the connection to its end
    object_timeout_s: float | None = None  #: in total, from the first octet of its C-STORE-RQ to the last of its data set
    acse_timeout_s: float = 30.0  #: ``-ta``; also ARTIM and the TLS handshake
    dimse_timeout_s: float | None = None  #: ``-td``
    socket_timeout_s: float | None = 60.0  #: ``-ts``; 0 on the command line is None
    proxies: ProxyPolicy = field(default_factory=ProxyPolicy)  #: ``--proxy-protocol``
    lookup_hosts: bool = True  #: False: ``-dhl``
    umask: int | None = None  #: ``--umask``: of every process and hook; None: as it is
    user: str | None = None  #: ``--user``: identity taken after the port is bound
    drain_timeout_s: float = 30.0  #: ``--drain-timeout``: SIGTERM waits that long for open associations
    hang_timeout_s: float | None = 30.0  #: ``--hang-timeout``: a process that hangs so long is killed; 0 is None
    tls: TLSPolicy | None = None


@dataclass(frozen=True)
class FaultPolicy:
    """Test aids of storescp: delays and aborts on demand."""

    sleep_after_s: float = 0.0
    sleep_during_s: float = 0.0
    abort_after: bool = False
    abort_during: bool = False
