"""Types of the options of ``fastscp.Receiver``. Written by scripts/generate-docs from the option table; do not edit."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Literal, TypedDict


class ReceiverOptions(TypedDict, total=False):
    """Every option of ``fastscp.Receiver``: those of the command line, under their names in Python (docs/embedding-options.md)."""

    quiet: bool | None  #: quiet mode, print no warnings and errors
    verbose: bool | None  #: verbose mode, print processing details
    debug: bool | None  #: debug mode, print debug information
    log_level: Literal["fatal", "error", "warn", "info", "debug", "trace"] | None  #: use level l for the logger
    log_config: str | PathLike[str] | None  #: use config file f for the logger
    verbose_pc: bool | None  #: show presentation contexts in verbose mode
    single_process: bool | None  #: serve one association at a time
    fork: bool | None  #: serve many associations at once on a pool of processes
    max_associations: int | None  #: limit maximum number of parallel associations to n
    ipv4: bool | None  #: use IPv4 only
    ipv6: bool | None  #: use IPv6 only
    ip_auto: bool | None  #: use IPv6/IPv4 dual stack
    config_file: tuple[str | PathLike[str], str] | None  #: use profile p from config file f
    prefer_uncompr: bool | None  #: prefer explicit VR local byte order
    prefer_little: bool | None  #: prefer explicit VR little endian TS
    prefer_big: bool | None  #: prefer explicit VR big endian TS
    prefer_lossless: bool | None  #: prefer default JPEG lossless TS
    prefer_jpeg8: bool | None  #: prefer default JPEG lossy TS for 8 bit data
    prefer_jpeg12: bool | None  #: prefer default JPEG lossy TS for 12 bit data
    prefer_j2k_lossless: bool | None  #: prefer JPEG 2000 lossless TS
    prefer_j2k_lossy: bool | None  #: prefer JPEG 2000 lossy TS
    prefer_jls_lossless: bool | None  #: prefer JPEG-LS lossless TS
    prefer_jls_lossy: bool | None  #: prefer JPEG-LS lossy TS
    prefer_mpeg2: bool | None  #: prefer MPEG2 Main Profile @ Main Level TS
    prefer_mpeg2_high: bool | None  #: prefer MPEG2 Main Profile @ High Level TS
    prefer_mpeg4: bool | None  #: prefer MPEG4 AVC/H.264 HP / Level 4.1 TS
    prefer_mpeg4_bd: bool | None  #: prefer MPEG4 AVC/H.264 BD-compatible TS
    prefer_mpeg4_2_2d: bool | None  #: prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (2D)
    prefer_mpeg4_2_3d: bool | None  #: prefer MPEG4 AVC/H.264 HP / Level 4.2 TS (3D)
    prefer_mpeg4_2_st: bool | None  #: prefer MPEG4 AVC/H.264 Stereo HP / Level 4.2 TS
    prefer_hevc: bool | None  #: prefer HEVC/H.265 Main Profile / Level 5.1 TS
    prefer_hevc10: bool | None  #: prefer HEVC/H.265 Main 10 Profile / Level 5.1 TS
    prefer_rle: bool | None  #: prefer RLE lossless TS
    prefer_deflated: bool | None  #: prefer deflated expl. VR little endian TS
    implicit: bool | None  #: accept implicit VR little endian TS only
    accept_all: bool | None  #: accept all supported transfer syntaxes
    access_full: bool | None  #: accept connections from any host
    access_control: bool | None  #: enforce host access control rules
    socket_timeout: int | None  #: timeout for network socket (0 for none)
    acse_timeout: int | None  #: timeout for ACSE messages
    dimse_timeout: int | None  #: timeout for DIMSE messages
    aetitle: str | None  #: set my AE title
    max_pdu: int | None  #: set max receive pdu to n bytes
    disable_host_lookup: bool | None  #: disable hostname lookup
    refuse: bool | None  #: refuse association
    reject: bool | None  #: reject association if no implement. class UID
    ignore: bool | None  #: ignore store data, receive but do not store
    sleep_after: int | None  #: sleep s seconds after store
    sleep_during: int | None  #: sleep s seconds during store
    abort_after: bool | None  #: abort association after receipt of C-STORE-RQ (but before sending response)
    abort_during: bool | None  #: abort association during receipt of C-STORE-RQ
    promiscuous: bool | None  #: promiscuous mode, accept unknown SOP classes
    uid_padding: bool | None  #: silently correct space-padded UIDs
    disable_tls: bool | None  #: use normal TCP/IP connection
    enable_tls: tuple[str | PathLike[str], str | PathLike[str]] | None  #: use authenticated secure TLS connection
    std_passwd: bool | None  #: prompt user to type password on stdin
    use_passwd: str | None  #: use specified password
    null_passwd: bool | None  #: use empty string as password
    pem_keys: bool | None  #: read keys and certificates as PEM file
    der_keys: bool | None  #: read keys and certificates as DER file
    add_cert_file: Sequence[str | PathLike[str]] | None  #: add certificate file to list of certificates
    add_cert_dir: Sequence[str | PathLike[str]] | None  #: add certificates in d to list of certificates
    add_crl_file: Sequence[str | PathLike[str]] | None  #: add certificate revocation list file
    enable_crl_vfy: bool | None  #: enable leaf CRL verification
    enable_crl_all: bool | None  #: enable full chain CRL verification
    profile_8996: bool | None  #: BCP 195 RFC 8996 TLS Profile
    profile_8996_mod: bool | None  #: Modified BCP 195 RFC 8996 TLS Profile
    profile_bcp195_nd: bool | None  #: Non-downgrading BCP 195 TLS Profile (retired)
    profile_bcp195: bool | None  #: BCP 195 TLS Profile (retired)
    profile_bcp195_ex: bool | None  #: Extended BCP 195 TLS Profile (retired)
    profile_basic: bool | None  #: Basic TLS Secure Transport Connection Profile (retired)
    profile_aes: bool | None  #: AES TLS Secure Transport Connection Profile (retired)
    profile_null: bool | None  #: Authenticated unencrypted communication (retired, was used in IHE ATNA)
    cipher: Sequence[str] | None  #: add ciphersuite to list of negotiated suites
    dhparam: str | PathLike[str] | None  #: read DH parameters for DH/DSS ciphersuites
    seed: str | PathLike[str] | None  #: seed random generator with contents of f
    write_seed: bool | None  #: write back modified seed
    write_seed_file: str | PathLike[str] | None  #: write modified seed to file f
    require_peer_cert: bool | None  #: verify peer certificate, fail if absent
    verify_peer_cert: bool | None  #: verify peer certificate if present
    ignore_peer_cert: bool | None  #: don't verify peer certificate
    no_sni: bool | None  #: do not check the server name a client asks for
    expect_sni: str | None  #: expect clients that name a server to name s
    output_directory: str | PathLike[str] | None  #: write received objects to existing directory d
    normal: bool | None  #: allow implicit format conversions
    bit_preserving: bool | None  #: write data exactly as read
    write_file: bool | None  #: write file format
    write_dataset: bool | None  #: write data set without file meta information
    write_xfer_same: bool | None  #: write with same TS as input
    write_xfer_little: bool | None  #: write with explicit VR little endian TS
    write_xfer_big: bool | None  #: write with explicit VR big endian TS
    write_xfer_implicit: bool | None  #: write with implicit VR little endian TS
    write_xfer_deflated: bool | None  #: write with deflated expl. VR little endian TS
    enable_new_vr: bool | None  #: enable support for new VRs (UN/UT)
    disable_new_vr: bool | None  #: disable support for new VRs, convert to OB
    group_length_recalc: bool | None  #: recalculate group lengths if present
    group_length_create: bool | None  #: always write with group length elements
    group_length_remove: bool | None  #: always write without group length elements
    length_explicit: bool | None  #: write with explicit lengths
    length_undefined: bool | None  #: write with undefined lengths
    padding_off: bool | None  #: no padding
    padding_create: tuple[int, int] | None  #: align file on multiple of f bytes and items on multiple of i bytes
    retain_un: bool | None  #: retain elements as UN
    convert_un: bool | None  #: convert to real VR if known
    compression_level: int | None  #: 0=uncompressed, 1=fastest, 9=best compression
    sort_conc_studies: str | None  #: sort studies using prefix p and a timestamp
    sort_on_study_uid: str | None  #: sort studies using prefix p and the Study Instance UID
    sort_on_patientname: bool | None  #: sort studies using the Patient's Name and a timestamp
    default_filenames: bool | None  #: generate filename from instance UID
    unique_filenames: bool | None  #: generate unique filenames
    timenames: bool | None  #: generate filename from creation time
    filename_extension: str | None  #: append e to all filenames
    exec_on_reception: str | None  #: execute command c after having received and processed one C-STORE-RQ message
    exec_on_eostudy: str | None  #: execute command c after having received and processed all C-STORE-RQ messages that belong to one study
    rename_on_eostudy: bool | None  #: having received and processed all C-STORE-RQ messages that belong to one study, rename output files according to certain pattern
    eostudy_timeout: int | None  #: specifies a timeout of t seconds for end-of-study determination
    exec_sync: bool | None  #: execute command synchronously in foreground
    config: str | PathLike[str] | None  #: read options, and rules for senders, from f; the command line counts more
    workers: int | None  #: serve associations on n worker processes
    drain_timeout: int | None  #: on SIGTERM wait s seconds for open associations
    max_associations_per_host: int | None  #: limit parallel associations of one host to n
    max_associations_per_aet: int | None  #: limit parallel associations of one calling application entity to n
    require_called_aet: bool | None  #: reject associations that call another title than that of --aetitle
    association_timeout: int | None  #: abort an association after s seconds
    object_timeout: int | None  #: abort an association whose object is not complete after s seconds
    proxy_protocol: str | None  #: expect the header of a balancer in front of connections from networks n
    hang_timeout: int | None  #: kill and replace a process that hangs for s seconds (0: never)
    umask: str | None  #: set the mask of permissions that files and directories do not get
    user: str | None  #: become user u after the port is bound
    hosts_allow: str | PathLike[str] | None  #: read host access rules from f
    hosts_deny: str | PathLike[str] | None  #: read host access rules from f
    on_late: Literal["new-study", "append"] | None  #: treat an object of a study that has ended as a new study, or append it to the old one
    study_max_age: int | None  #: end a study s seconds after its first object
    study_manifest: bool | None  #: write a list of its files into the directory of each study that ends
    completed_directory: str | PathLike[str] | None  #: move the directory of each study that ends to directory d, before its command is executed
    state_dir: str | PathLike[str] | None  #: keep the state of open studies in directory d
    transliterate_names: bool | None  #: spell Patient's Name directories by the Specific Character Set
    exec_on_eoseries: str | None  #: execute command c at the end of each series
    exec_argv: bool | None  #: execute commands without a shell
    hook_jobs: int | None  #: execute at most n commands at once
    hook_timeout: int | None  #: end a command after s seconds
    hook_retries: int | None  #: execute a command that failed up to n times more
    max_waiting_hooks: int | None  #: let further objects wait while n commands do
    event_log: str | PathLike[str] | None  #: append each event to f, one JSON object a line
    event_digest: bool | None  #: put the SHA-256 of each file into its event
    max_object_size: int | str | None  #: refuse objects whose data set is longer than s
    max_inflated_size: int | str | None  #: refuse deflated objects whose data set is longer than s when it is inflated (0: unlimited)
    min_free: int | str | None  #: refuse objects while less than s is free on the file system of the output directory
    sync: Literal["none", "object", "group"] | None  #: have objects on the disk before they are acknowledged, each by itself or in groups
    on_duplicate: Literal["replace", "keep", "compare", "rename", "refuse"] | None  #: replace an earlier file of the same name, keep it, keep it if it has the same octets, give the new one another name, or refuse that
    quarantine: str | PathLike[str] | None  #: keep objects that cannot be stored in directory d, as they were received, and answer with a warning
    private_dictionary: Literal["pydicom", "none"] | None  #: know the private attributes of pydicom, or only those of DCMDICTPATH
    metrics: str | None  #: serve metrics, health, status and a live page over HTTP
    otlp: str | None  #: send a trace of each association to an OpenTelemetry collector
    storage_commitment: bool | None  #: commit stored objects (Storage Commitment Push Model, SCP)
    commitment_peer: Sequence[str] | None  #: tell a peer there of its commitments when its association is gone
    commitment_wait: int | None  #: wait up to s seconds for objects that are asked for
    commitment_retry_pause: int | None  #: tell a peer that is away again after s seconds, then after twice as many
    commitment_give_up: int | None  #: give up s seconds after the request
    state: str | None  #: share studies with other gateways in the database u
    gateway_timeout: int | None  #: studies wait s seconds for a gateway that is silent
    object_store: str | None  #: upload objects to the object store u, too
    object_store_endpoint: str | None  #: it is served there, whatever AWS_ENDPOINT_URL says
    keep_local: str | None  #: remove files that the object store has, d after their study is complete in it
    log_json: bool | None  #: log to stderr, one JSON object a line
