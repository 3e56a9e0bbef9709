"""From command lines to policies: every option that sets something sets the right thing."""

import shlex
from dataclasses import fields, is_dataclass

import pytest

from fastscp import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from fastscp.cli.build import build
from fastscp.cli.check import check
from fastscp.cli.parse import parse
from fastscp.commitment.policy import CommitmentPeer, CommitmentPolicy
from fastscp.config.model import Config
from fastscp.config.network import AddressFamily, PeerVerification, ProcessMode, TLSPolicy
from fastscp.dicom.options import GroupLengths, PrivateDictionary
from fastscp.dicom.uids import STORAGE_COMMITMENT
from fastscp.errors import UsageError
from fastscp.proxy.policy import proxy_policy
from fastscp.store.policy import FileNames, MinFree, Sync
from fastscp.study.policy import LateObjects, ObjectStorePolicy, Sorting


def config(text):
    line = parse("fastscp", shlex.split(text))
    check(line, verbose=True)
    return build(line)


def differences(one, other, prefix=""):
    """Return what differs between two policies as ``{"store.extension": new value}``."""
    found = {}
    for field in fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if is_dataclass(a) and type(a) is type(b):
            found |= differences(a, b, f"{prefix}{field.name}.")
        elif a != b:
            found[prefix + field.name] = b
    return found


def test_defaults_are_those_of_the_policies():
    found = differences(Config(), config("11112"))
    assert {key: value for key, value in found.items() if key != "negotiation.rules"} == {
        "network.port": 11112,
        "negotiation.implementation_class_uid": IMPLEMENTATION_CLASS_UID,
        "negotiation.implementation_version_name": IMPLEMENTATION_VERSION_NAME,
        **{key: value for key, value in found.items() if key == "negotiation.never_unknown"},
    }


@pytest.mark.parametrize(("options", "expected"), [
    ("-q", {"log.level": "fatal"}),
    ("-v", {"log.level": "info"}),
    ("-d", {"log.level": "debug"}),
    ("-ll TRACE", {"log.level": "trace"}),
    ("-lc f", {"log.config_file": "f"}),
    ("--log-json", {"log.json": True}),
    ("-v +v", {"log.level": "info", "log.presentation_contexts": True}),
    ("--single-process", {"network.mode": ProcessMode.SINGLE, "study.literal_rule": True}),
    ("--fork", {}),
    ("--single-process --fork", {}),
    ("-id", {"network.mode": ProcessMode.INETD}),
    ("--max-associations 7", {"network.max_associations": 7}),
    ("--workers 3", {"network.workers": 3}),
    ("--proxy-protocol 10.1.0.0/16,::1", {"network.proxies.networks": proxy_policy("10.1.0.0/16,::1").networks}),
    ("-i6", {"network.address_family": AddressFamily.IPV6}),
    ("-i0", {"network.address_family": AddressFamily.DUAL}),
    ("-i0 -i4", {}),
    ("+ac", {"access.enabled": True}),
    ("+ac -ac", {}),
    ("+ac --hosts-allow a --hosts-deny b", {
        "access.enabled": True, "access.allow_file": "a", "access.deny_file": "b", "access.allow_named": True,
        "access.deny_named": True}),
    ("+ac --hosts-deny ''", {"access.enabled": True, "access.deny_file": "", "access.deny_named": True}),
    ("-ts 5", {"network.socket_timeout_s": 5}),
    ("-ts 0", {"network.socket_timeout_s": None}),
    ("-ts -1", {"network.socket_timeout_s": None}),
    ("-ta 5", {"network.acse_timeout_s": 5}),
    ("-td 5", {"network.dimse_timeout_s": 5}),
    ("-aet TITLE", {"negotiation.ae_title": "TITLE"}),
    ("-aet ''", {"negotiation.ae_title": ""}),
    ("-pdu 131072", {"negotiation.max_pdu_length": 131072}),
    ("-dhl", {"network.lookup_hosts": False}),
    ("--refuse", {"negotiation.refuse": True}),
    ("--reject", {"negotiation.reject_without_implementation_class_uid": True}),
    ("--ignore", {"store.ignore": True}),
    ("--sleep-after 2", {"faults.sleep_after_s": 2}),
    ("--sleep-during 3", {"faults.sleep_during_s": 3}),
    ("--abort-after", {"faults.abort_after": True}),
    ("--abort-during", {"faults.abort_during": True}),
    ("-up", {"store.uid_padding": True}),
    ("--drain-timeout 5", {"network.drain_timeout_s": 5}),
    ("--umask 0027", {"network.umask": 0o027}),
    ("--hang-timeout 5", {"network.hang_timeout_s": 5}),
    ("--max-associations-per-host 3", {"network.max_per_host": 3}),
    ("--max-associations-per-aet 4", {"network.max_per_title": 4}),
    ("--association-timeout 600", {"network.association_timeout_s": 600}),
    ("--object-timeout 60", {"network.object_timeout_s": 60}),
    ("--hang-timeout 0", {"network.hang_timeout_s": None}),
    ("--max-object-size 2G", {"store.max_object_octets": 2 << 30}),
    ("--max-object-size 0", {}),
    ("--min-free 2G", {"store.min_free": MinFree("2G", octets=2 << 30)}),
    ("--min-free 0.5%", {"store.min_free": MinFree("0.5%", percent=0.5)}),
    ("--min-free 0", {}),
    ("--min-free 0%", {}),
    ("--sync none", {}),
    ("--sync object", {"store.sync": Sync.OBJECT, "study.durable": True}),
    ("--sync GROUP", {"store.sync": Sync.GROUP, "study.durable": True}),
    ("--max-inflated-size 512m", {"output.max_inflated_octets": 512 << 20}),
    ("--max-inflated-size 0", {"output.max_inflated_octets": 0}),
    ("--user dicom", {"network.user": "dicom"}),
    ("-od /a/b/", {"store.output_directory": "/a/b"}),
    ("-od //", {"store.output_directory": "/"}),
    ("-od ''", {}),
    ("+B", {"output.bit_preserving": True}),
    ("+B -B", {}),
    ("-F", {"output.file_format": False}),
    ("-F +F", {}),
    ("+te", {"output.transfer_syntax": "1.2.840.10008.1.2.1"}),
    ("+tb", {"output.transfer_syntax": "1.2.840.10008.1.2.2"}),
    ("+ti", {"output.transfer_syntax": "1.2.840.10008.1.2"}),
    ("+td", {"output.transfer_syntax": "1.2.840.10008.1.2.1.99"}),
    ("+td +t=", {}),
    ("-u", {"output.new_vrs": False}),
    ("-u +u", {}),
    ("+g", {"output.group_lengths": GroupLengths.CREATE}),
    ("-g", {"output.group_lengths": GroupLengths.REMOVE}),
    ("-g +g=", {}),
    ("-e", {"output.explicit_lengths": False}),
    ("-e +e", {}),
    ("+p 512 8", {"output.file_padding": 512, "output.item_padding": 8}),
    ("+p 512 8 -p", {}),
    ("+uc", {"output.convert_un": True}),
    ("+uc -uc", {}),
    ("+cl 0", {"output.compression_level": 0}),
    ("-ss p", {"study.sorting": Sorting.CONCURRENT_STUDIES, "study.prefix": "p"}),
    ("-su p", {"study.sorting": Sorting.STUDY_UID, "study.prefix": "p"}),
    ("-su ''", {"study.sorting": Sorting.STUDY_UID}),
    ("-su p -sp", {"study.sorting": Sorting.PATIENT_NAME}),
    ("-su p -ss q", {"study.sorting": Sorting.CONCURRENT_STUDIES, "study.prefix": "q"}),
    ("+uf", {"store.file_names": FileNames.UNIQUE}),
    ("+uf -uf", {}),
    ("-tn", {"store.file_names": FileNames.TIME}),
    ("-fe .dcm", {"store.extension": ".dcm"}),
    ("-xcr c", {"hooks.on_reception": "c"}),
    ("-sp -xcs c", {"study.sorting": Sorting.PATIENT_NAME, "hooks.on_end_of_study": "c"}),
    ("-sp -rns", {"study.sorting": Sorting.PATIENT_NAME, "study.rename": True}),
    ("-sp -tos 0", {"study.sorting": Sorting.PATIENT_NAME, "study.timeout_s": 0}),
    ("-xs", {"hooks.synchronous": True}),
    ("--on-late append", {"study.on_late": LateObjects.APPEND}),
    ("-sp --study-max-age 9", {"study.sorting": Sorting.PATIENT_NAME, "study.max_age_s": 9}),
    ("-sp --study-manifest", {"study.sorting": Sorting.PATIENT_NAME, "study.manifest": True}),
    ("-sp --transliterate-names", {"study.sorting": Sorting.PATIENT_NAME, "study.names_by_character_set": True}),
    ("-su P --completed-directory d/", {"study.sorting": Sorting.STUDY_UID, "study.prefix": "P",
                                        "study.completed_directory": "d"}),
    ("--state-dir d", {"study.state_directory": "d"}),
    ("--exec-on-eoseries c", {"hooks.on_end_of_series": "c"}),
    ("--exec-argv", {"hooks.argv": True}),
    ("--quarantine q/", {"store.quarantine": "q"}),
    ("--private-dictionary none", {"output.private_dictionary": PrivateDictionary.NONE}),
    ("--private-dictionary PYDICOM", {"output.private_dictionary": PrivateDictionary.PYDICOM}),
    ("--hook-jobs 2", {"hooks.jobs": 2}),
    ("--hook-timeout 4", {"hooks.timeout_s": 4}),
    ("--hook-retries 3", {"hooks.retries": 3}),
    ("--max-waiting-hooks 7", {"hooks.most_waiting": 7}),
    ("--event-log f --event-digest", {"hooks.event_log": "f", "hooks.event_digest": True}),
])
def test_option(options, expected):
    assert differences(config("11112"), config(f"{options} 11112")) == expected


@pytest.mark.parametrize(("options", "expected"), [
    ("", {}),
    ("+ps", {}),
    ("+pw secret", {"password": "secret"}),
    ("+pw secret -pw", {"password": ""}),
    ("-der", {"der": True}),
    ("-der -pem", {}),
    ("+cf a +cf b", {"ca_files": ("a", "b")}),
    ("+cd a +cd b", {"ca_directories": ("a", "b")}),
    ("+crl a +crl b", {"crl_files": ("a", "b"), "crl_check": True}),
    ("+crv", {"crl_check": True}),
    ("+cra", {"crl_check_all": True}),
    ("+pg", {}),
    ("+pm", {"profile": "8996-mod"}),
    ("+py", {"profile": "bcp195-nd"}),
    ("+px", {"profile": "bcp195"}),
    ("+pz", {"profile": "bcp195-ex"}),
    ("+pb", {"profile": "basic"}),
    ("+pa", {"profile": "aes"}),
    ("+pn", {"profile": "null"}),
    ("+cs A +cs B", {"ciphers": ("A", "B")}),
    ("+dp f", {"dh_parameters_file": "f"}),
    ("+rs f", {"seed_file": "f"}),
    ("+rs f +ws", {"seed_file": "f", "write_seed_file": "f"}),
    ("+rs f +ws +wf g", {"seed_file": "f", "write_seed_file": "g"}),
    ("-vc", {"verification": PeerVerification.VERIFY}),
    ("-ic", {"verification": PeerVerification.IGNORE}),
    ("-ic -rc", {}),
    ("--expect-sni name", {"expected_sni": "name"}),
    ("--no-sni", {}),
])
def test_tls_option(options, expected):
    tls = config(f"+tls key certificate {options} 11112").network.tls
    assert differences(TLSPolicy("key", "certificate"), tls) == expected


def test_no_tls():
    assert config("+tls key certificate -tls 11112").network.tls is None


PREFERENCES = {
    "+x=": "1.2.840.10008.1.2.1", "+xe": "1.2.840.10008.1.2.1", "+xb": "1.2.840.10008.1.2.2",
    "+xs": "1.2.840.10008.1.2.4.70", "+xy": "1.2.840.10008.1.2.4.50", "+xx": "1.2.840.10008.1.2.4.51",
    "+xv": "1.2.840.10008.1.2.4.90", "+xw": "1.2.840.10008.1.2.4.91", "+xt": "1.2.840.10008.1.2.4.80",
    "+xu": "1.2.840.10008.1.2.4.81", "+xm": "1.2.840.10008.1.2.4.100", "+xh": "1.2.840.10008.1.2.4.101",
    "+xn": "1.2.840.10008.1.2.4.102", "+xl": "1.2.840.10008.1.2.4.103", "+x2": "1.2.840.10008.1.2.4.104",
    "+x3": "1.2.840.10008.1.2.4.105", "+xo": "1.2.840.10008.1.2.4.106", "+x4": "1.2.840.10008.1.2.4.107",
    "+x5": "1.2.840.10008.1.2.4.108", "+xr": "1.2.840.10008.1.2.5", "+xd": "1.2.840.10008.1.2.1.99",
    "+xi": "1.2.840.10008.1.2", "+xa": "1.2.840.10008.1.2.4.",
}
CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize("flag", PREFERENCES)
def test_preference(flag):
    rule = config(f"{flag} 11112").negotiation.rules[CT_IMAGE_STORAGE]
    assert rule.transfer_syntaxes[0].startswith(PREFERENCES[flag])


def test_promiscuous():
    assert config("11112").negotiation.unknown_rule is None
    assert config("-pm 11112").negotiation.unknown_rule is not None


def test_command_lines_of_the_field():
    """As found in public repositories, paths aside."""
    for text in (
        "+tls KEY CERT +cf CA --fork --promiscuous +xa -od IN +uf -xcr 'BIN IN/#f #r #a #c' 11112",
        ("--fork --promiscuous --write-xfer-little --exec-on-reception \"S '#a' '#c' '#r' '#p' '#f' &\" "
        "--sort-on-study-uid scp --output-directory DIR 11112"),
        "--eostudy-timeout 1 --write-xfer-little --exec-on-eostudy \"S '#p'\" --sort-on-patientname -od DIR 11112",
        "--promiscuous -od DIR -ss study -tos 60 +uf -xcs 'TOOL #p' 5001",
        "-ll warn --fork +xe -pm +te -aet A -pdu 131072 -dhl -up -g -e -od D -su '' -uf -xcr 'script #a' 11112",
        "11112 --accept-all -od D --exec-sync --exec-on-reception 'dcmdump \"D/#f\"'",
        "--fork -aet STORESCP --ignore 9000",
    ):
        assert config(text).network.port in (11112, 5001, 9000)


def test_storage_commitment():
    made = config("--storage-commitment --commitment-peer A=h:104 --commitment-peer B=[::1]:11112,tls --commitment-wait 0 "
                  "--commitment-retry-pause 5 --commitment-give-up 60 11112")
    peers = CommitmentPeer("A", "h", 104), CommitmentPeer("B", "::1", 11112, tls=True)
    assert made.commitment == CommitmentPolicy(peers, 0, 5, 60)
    assert config("--storage-commitment 11112").commitment == CommitmentPolicy()
    rules = made.negotiation.rules
    assert set(rules) - set(config("11112").negotiation.rules) == {STORAGE_COMMITMENT}
    assert (rules[STORAGE_COMMITMENT].scu_role, rules[STORAGE_COMMITMENT].scp_role) == (True, False)


@pytest.mark.parametrize("peer", ["A", "A=h", "A=h:0", "A=h:70000", "=h:1", "A=::1:1", "A=h:1,ssl", "ABCDEFGHIJKLMNOPQ=h:1"])
def test_bad_commitment_peers(peer):
    with pytest.raises(UsageError, match="--commitment-peer"):
        config(f"--storage-commitment --commitment-peer {peer} 11112")


def test_keys_that_pynetdicom_cannot_use_are_no_peers():
    options = "--storage-commitment --commitment-peer A=h:1 --commitment-peer B=h:2{} +tls k c -der 11112"
    config(options.format(""))
    with pytest.raises(UsageError, match="--commitment-peer with tls not allowed with --der-keys"):
        config(options.format(",tls"))


@pytest.mark.parametrize("options", ["--commitment-wait 1", "--commitment-peer A=h:1", "--storage-commitment --ignore", "--storage-commitment --inetd"])
def test_options_that_do_not_go_with_storage_commitment(options):
    with pytest.raises(UsageError):
        config(f"{options} 11112")


# -- object store ---------------------------------------------------------------------------------------------

STORE = "-su s -tos 5 --object-store s3://bucket/p/q"


@pytest.mark.parametrize(("options", "expected"), [
    (STORE, ObjectStorePolicy("bucket", "p/q")),
    ("-ss s -tos 5 --object-store s3://my.bucket-1", ObjectStorePolicy("my.bucket-1")),
    ("-ss s -tos 5 --object-store s3://bucket/", ObjectStorePolicy("bucket")),
    (f"{STORE} --object-store-endpoint https://store:9000", ObjectStorePolicy("bucket", "p/q", "https://store:9000")),
    (f"{STORE} --keep-local until-completed", ObjectStorePolicy("bucket", "p/q", None, 0.0)),
    (f"{STORE} --keep-local forever", ObjectStorePolicy("bucket", "p/q")),
    (f"{STORE} --keep-local 90", ObjectStorePolicy("bucket", "p/q", None, 90.0)),
    (f"{STORE} --keep-local 7d", ObjectStorePolicy("bucket", "p/q", None, 604800.0)),
])
def test_object_store(options, expected):
    found = config(options)
    assert found.object_store == expected
    assert (found.wants_digests, found.keeps_studies) == (True, True)


@pytest.mark.parametrize("options", [
    "-su s --object-store s3://bucket/p", "-ss s -tos 5 --object-store bucket", "-ss s -tos 5 --object-store s3://B/p", "-ss s -tos 5 --object-store s3://bucket/../p",
    "-ss s -tos 5 --object-store s3://bucket/a//b", f"-ss s -tos 5 --object-store s3://bucket/{'x' * 257}", "-ss s -tos 5 --keep-local 7d",
    "-xcs c -tos 5 --object-store s3://bucket/p --keep-local 7d", f"{STORE} --keep-local 7w", f"{STORE} --keep-local -1",
    f"{STORE} --object-store-endpoint store:9000", f"{STORE} --object-store-endpoint https://user:secret@store", f"{STORE} --inetd",
    f"{STORE} --ignore", f"{STORE} --keep-local 7d --storage-commitment", "--object-store-endpoint https://store",
])
def test_what_makes_no_object_store(options):
    with pytest.raises(UsageError):
        config(options)
