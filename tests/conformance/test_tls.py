"""TLS options, shown by DCMTK's clients, pynetdicom, openssl s_client and Python's ssl."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import stat
import struct
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

import fastscp
from fastscp.config.network import PeerVerification, TLSPolicy
from fastscp.tls.ciphers import available_suites, find_suite
from fastscp.tls.context import build_context
from fastscp.tls.profiles import PROFILES
from tests.support.pki import DER, Authority, hashed_directory
from tests.support.rawscu import read_instance
from tests.support.servers import FastscpServer, StorescpServer, free_port, wait_until

pytestmark = pytest.mark.oracle

TIMEOUT_S = 60
PASSWORD = "open sesame"


class Site:
    """Everything a test may need, made once."""

    def __init__(self, directory):
        self.authority = Authority.make(directory / "ca")
        self.stranger = Authority.make(directory / "other", "Other CA")
        self.between = Authority.make(directory / "between", "Intermediate CA", issuer=self.authority)
        self.server = self.authority.issue("localhost", "rsa")
        self.server_ec = self.authority.issue("server ec")
        self.client = self.authority.issue("client")
        self.client_rsa = self.authority.issue("client rsa", "rsa")
        self.revoked = self.authority.issue("revoked")
        self.foreign = self.stranger.issue("foreign")
        self.expired = self.authority.issue("expired", days=-1)
        self.deep = self.between.issue("deep")
        self.deep.path(".crt.pem").write_bytes(
            self.deep.certificate_file().read_bytes() + self.between.certificate_file().read_bytes())
        self.ca_file = self.authority.certificate_file()
        self.own = ["+tls", self.server.key_file(), self.server.certificate_file()]
        for identity in (self.server_ec, self.client, self.client_rsa, self.revoked, self.foreign, self.expired, self.deep):
            identity.key_file()
            if identity is not self.deep:
                identity.certificate_file()

    def options(self, *more):
        """Return options of a server that trusts the authority."""
        return [*self.own, "+cf", self.ca_file, *more]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("site"))


def run(*command, **others):
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=TIMEOUT_S,
                          check=False, **others)


def echo(server, site, identity=None, *more):
    """Send a C-ECHO; tell whether it was answered."""
    if identity is None:
        tls = ["+tla", "-ic"]
    else:
        tls = ["+tls", identity.path(".key.pem"), identity.path(".crt.pem"), "+cf", site.ca_file]
    return run("echoscu", *tls, *more, "localhost", server.port).returncode == 0


def log_lines(server, *words):
    """Wait for the log line with all ``words``; return all such lines."""
    def found():
        return [line for line in server.log().decode().splitlines() if all(word in line for word in words)]

    wait_until(found, f"{words} in {server.log().decode()}")
    return found()


def start_failure(*options):
    """Start a server that must not start; return what it wrote to stderr."""
    done = run(sys.executable, "-m", "fastscp", *options, free_port(), stdin=subprocess.DEVNULL)
    assert done.returncode == 1
    return done.stderr


def s_client(server, *options):
    """Connect with openssl; return its report."""
    done = run("openssl", "s_client", "-connect", f"localhost:{server.port}", *options, input="")
    return done.stdout + done.stderr


# -- receiving over TLS ---------------------------------------------------------------------------


def test_storescu_sends_over_tls(tmp_path, site, dicom_files):
    sent = [path for path in dicom_files if path.name in {"CT_small.dcm", "MR_small.dcm", "test-SR.dcm", "rtplan.dcm"}]
    stored = []
    for kind in (FastscpServer, StorescpServer):
        directory = tmp_path / kind.__name__
        directory.mkdir()
        with kind(["--enable-tls", *site.own[1:], "--add-cert-file", site.ca_file, "+xa", "-od", directory]) as server:
            done = run("storescu", "+tls", site.client.path(".key.pem"), site.client.path(".crt.pem"), "+cf", site.ca_file,
                       "localhost", server.port, *sent)
            assert done.returncode == 0, done.stderr
        stored.append({path.name: read_instance(path).dataset for path in directory.iterdir()})
    assert len(stored[0]) == 4
    assert stored[0] == stored[1]


def test_everything_arrives_over_tls_as_it_does_without(tmp_path, site, dicom_files):
    stored = []
    client = ["+tls", site.client.path(".key.pem"), site.client.path(".crt.pem"), "+cf", site.ca_file]
    for name, options, tls in (("plain", ["-tls"], []), ("disabled", ["--disable-tls"], []), ("tls", site.options(), client)):
        directory = tmp_path / name
        directory.mkdir()
        with FastscpServer(["-pm", "+B", "-od", directory, *options]) as server:
            run("storescu", "-R", "--no-halt", *tls, "localhost", server.port, *dicom_files)
        stored.append({path.name: path.read_bytes() for path in directory.iterdir()})
    assert len(stored[0]) > 30
    assert stored[0] == stored[1] == stored[2]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_pynetdicom_sends_over_tls(tmp_path, site, version):
    from pydicom import dcmread
    from pydicom.data import get_testdata_file
    from pynetdicom import AE

    dataset = dcmread(get_testdata_file("CT_small.dcm"))
    context = ssl.create_default_context(cafile=str(site.ca_file))
    context.load_cert_chain(site.client.path(".crt.pem"), site.client.path(".key.pem"))
    context.minimum_version = context.maximum_version = version
    context.check_hostname = False
    with FastscpServer(["+B", "-od", tmp_path, *site.options()]) as server:
        ae = AE()
        ae.add_requested_context(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        association = ae.associate("localhost", server.port, tls_args=(context, "localhost"))
        assert association.is_established
        assert association.send_c_store(dataset).Status == 0
        association.release()
    (path,) = tmp_path.iterdir()
    stored = dcmread(path)
    assert len(stored) > 50
    assert stored.PixelData == dataset.PixelData
    assert stored == dataset


# -- peer authentication --------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "welcome"), [
    ([], {"client", "client_rsa", "deep"}),
    (["-rc"], {"client", "client_rsa", "deep"}),
    (["--require-peer-cert"], {"client", "client_rsa", "deep"}),
    (["-vc"], {"client", "client_rsa", "deep", "nobody"}),
    (["--verify-peer-cert"], {"client", "client_rsa", "deep", "nobody"}),
    (["-ic"], {"client", "client_rsa", "deep", "nobody", "foreign", "expired"}),
    (["--ignore-peer-cert"], {"client", "client_rsa", "deep", "nobody", "foreign", "expired"}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_who_may_connect(tmp_path, site, options, welcome):
    everybody = {name: getattr(site, name) for name in ("client", "client_rsa", "deep", "foreign", "expired")}
    with FastscpServer(["-od", tmp_path, *site.options(*options)]) as server:
        admitted = {name for name, identity in {**everybody, "nobody": None}.items() if echo(server, site, identity)}
        assert admitted == welcome
        if "nobody" not in welcome:
            assert len(log_lines(server, "TLS handshake failed: the peer has no certificate")) == 1
        if "foreign" not in welcome:
            log_lines(server, "the peer's certificate is not accepted: unable to get local issuer certificate")
            log_lines(server, "the peer's certificate is not accepted: certificate has expired")
    if len(options) and options[0].startswith("-") and not options[0].startswith("--"):
        with StorescpServer(["-od", tmp_path, *site.options(*options)]) as server:
            theirs = {name for name, identity in {**everybody, "nobody": None}.items() if echo(server, site, identity)}
            assert theirs == welcome


# -- keys and certificates ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["+pw", PASSWORD], ["--use-passwd", PASSWORD]])
def test_password_on_the_command_line(tmp_path, site, options):
    key = site.server.key_file(password=PASSWORD)
    with FastscpServer(["-od", tmp_path, "+tls", key, site.own[2], "+cf", site.ca_file, *options]) as server:
        assert echo(server, site, site.client)


@pytest.mark.parametrize("options", [["-pw"], ["--null-passwd"], ["+pw", "wrong"]])
def test_wrong_password(site, options):
    key = site.server.key_file(password=PASSWORD)
    assert start_failure("+tls", key, site.own[2], *options) == (
        f"F: unable to load private TLS key from '{key}': wrong password\n")


@pytest.mark.parametrize("options", [["-pw"], ["+pw", "not needed"], ["--std-passwd"], ["+ps"], ["-pem"], ["--pem-keys"]])
def test_password_of_a_key_that_has_none(tmp_path, site, options):
    with FastscpServer(["-od", tmp_path, *site.options(*options)]) as server:
        assert echo(server, site, site.client)


@pytest.mark.parametrize("options", [[], ["+ps"], ["--std-passwd"]])
def test_password_is_asked_for_where_there_is_no_terminal_on_stdin(site, options, tmp_path):
    key = site.server.key_file(password=PASSWORD)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastscp", "-od", str(tmp_path), "+tls", str(key), str(site.own[2]), "-ic", *options, str(port)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    process.stdin.write(PASSWORD + "\n")
    process.stdin.flush()
    try:
        wait_until(lambda: run("echoscu", "+tla", "-ic", "localhost", port).returncode == 0, "server answers")
        process.send_signal(signal.SIGHUP)  # nobody is asked again
        assert run("echoscu", "+tla", "-ic", "localhost", port).returncode == 0
    finally:
        process.send_signal(signal.SIGTERM)
        _, text = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == 0
    assert f"Enter pass phrase for {key}: " in text
    assert "not reloaded" not in text


def test_no_password_to_be_had(site):
    key = site.server.key_file(password=PASSWORD)
    assert f"no password for private TLS key '{key}'" in start_failure("+tls", key, site.own[2])


@pytest.mark.parametrize("flag", ["-der", "--der-keys"])
@pytest.mark.parametrize("password", [None, PASSWORD])
def test_der_files(tmp_path, site, flag, password):
    crl = site.authority.revocation_list(site.revoked, encoding=DER)
    own = ["+tls", site.server.key_file(encoding=DER, password=password), site.server.certificate_file(encoding=DER)]
    options = [*own, flag, "+cf", site.authority.certificate_file(encoding=DER), "+crl", crl]
    with FastscpServer(["-od", tmp_path, *options, *(["+pw", password] if password else [])]) as server:
        assert echo(server, site, site.client)
        assert not echo(server, site, site.revoked)
        assert not echo(server, site, site.foreign)


def test_files_that_cannot_be_used(site, tmp_path):
    key, certificate = site.own[1:]
    missing, junk, der_key = tmp_path / "none", tmp_path / "junk", site.server.key_file(encoding=DER)
    junk.write_text("junk")
    other_key = site.client_rsa.path(".key.pem")
    for options, words in (
        (["+tls", missing, certificate], f"unable to load private TLS key from '{missing}': No such file or directory"),
        (["+tls", key, missing], f"unable to load certificate from '{missing}': No such file or directory"),
        (["+tls", other_key, certificate], f"private key '{other_key}' and certificate '{certificate}' do not match"),
        (["+tls", junk, certificate], f"unable to load private TLS key from '{junk}': no private key in it"),
        (["+tls", key, junk], f"unable to load certificate from '{junk}': no certificate in it"),
        (["+tls", der_key, certificate], f"unable to load private TLS key from '{der_key}': no private key in it"),
        (["+tls", key, certificate, "-der"], f"unable to load private TLS key from '{key}': not a DER key, or a wrong password"),
        (["+tls", der_key, certificate, "-der"], f"unable to load certificate from '{certificate}': not a DER certificate"),
    ):
        assert start_failure(*options) == f"F: {words}\n"


# -- authorities and revocation -------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["+cd", "--add-cert-dir"])
def test_directory_of_authorities(tmp_path, site, flag):
    directory = hashed_directory(tmp_path / "ca", site.ca_file)
    options = ["-od", tmp_path, *site.own, flag, directory]
    for kind in (FastscpServer, StorescpServer):
        with kind(options) as server:
            assert echo(server, site, site.client)
            assert not echo(server, site, site.foreign)


def test_directory_without_hashed_names_trusts_nobody(tmp_path, site):
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.pem").write_bytes(site.ca_file.read_bytes())
    for kind in (FastscpServer, StorescpServer):
        with kind(["-od", tmp_path, *site.own, "+cd", tmp_path / "ca"]) as server:
            assert not echo(server, site, site.client)
            if kind is FastscpServer:
                log_lines(server, "has no certificates under hashed names, see openssl-rehash(1)")


def test_directory_of_der_authorities(tmp_path, site):
    directory = hashed_directory(tmp_path / "ca", site.ca_file)
    (link,) = directory.glob("*.0")
    link.unlink()
    link.write_bytes(site.authority.certificate_file(encoding=DER).read_bytes())
    own = ["+tls", site.server.key_file(encoding=DER), site.server.certificate_file(encoding=DER)]
    with FastscpServer(["-od", tmp_path, *own, "-der", "+cd", directory]) as server:
        assert echo(server, site, site.client)
        assert not echo(server, site, site.foreign)


def test_several_authorities(tmp_path, site):
    with FastscpServer(["-od", tmp_path, *site.options("+cf", site.stranger.certificate_file())]) as server:
        assert echo(server, site, site.client)
        assert echo(server, site, site.foreign)


def test_missing_authorities_are_warned_of(tmp_path, site):
    options = site.options("+cf", tmp_path / "none", "+cd", tmp_path / "nowhere", "+crl", tmp_path / "nothing")
    for kind in (FastscpServer, StorescpServer):
        with kind(["-od", tmp_path, *options]) as server:
            log_lines(server, f"W: unable to load certificate file '{tmp_path}/none', ignoring")
            log_lines(server, f"W: unable to load CRL file '{tmp_path}/nothing', ignoring")
            if kind is FastscpServer:
                log_lines(server, f"W: unable to load certificates from directory '{tmp_path}/nowhere', ignoring")


@pytest.mark.parametrize(("options", "welcome"), [
    (["+crl", "EMPTY"], {"client", "revoked", "deep"}),
    (["--add-crl-file", "LIST", "+crl", "LIST-BETWEEN"], {"client", "deep"}),
    (["+crl", "LIST"], {"client"}),
    (["+crv"], set()),
    (["--enable-crl-vfy", "+crl", "LIST"], {"client"}),
    (["+cra", "+crl", "LIST"], {"client"}),
    (["--enable-crl-all", "+crl", "LIST", "+crl", "LIST-BETWEEN"], {"client", "deep"}),
    (["+cra", "+crl", "REVOKES-BETWEEN", "+crl", "LIST-BETWEEN"], {"client", "revoked"}),
    (["+crv", "+crl", "REVOKES-BETWEEN", "+crl", "LIST-BETWEEN"], {"client", "revoked", "deep"}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_revocation_lists(tmp_path, site, options, welcome):
    lists = {
        "EMPTY": site.authority.revocation_list(), "LIST": site.authority.revocation_list(site.revoked),
        "LIST-BETWEEN": site.between.revocation_list(),
        "REVOKES-BETWEEN": site.authority.revocation_list(site.between, site.foreign),
    }
    options = [lists.get(option, option) for option in options]
    if options == ["+crl", lists["EMPTY"]]:
        welcome = welcome - {"deep"}  # its issuer has no list
    people = {name: getattr(site, name) for name in ("client", "revoked", "deep")}
    for kind in (FastscpServer, StorescpServer):
        with kind(["-od", tmp_path, *site.options(*options)]) as server:
            assert {name for name, identity in people.items() if echo(server, site, identity)} == welcome
            if kind is FastscpServer and "revoked" not in welcome and options != ["+crv"]:
                log_lines(server, "the peer's certificate is not accepted: certificate revoked")
            if kind is FastscpServer and options == ["+crv"]:
                log_lines(server, "the peer's certificate is not accepted: unable to get certificate CRL")


def test_revocation_lists_in_a_directory(tmp_path, site):
    directory = hashed_directory(tmp_path / "ca", site.ca_file, site.authority.revocation_list(site.revoked))
    for kind in (FastscpServer, StorescpServer):
        with kind(["-od", tmp_path, *site.own, "+cd", directory, "+crv"]) as server:
            assert echo(server, site, site.client)
            assert not echo(server, site, site.revoked)


@pytest.mark.parametrize(("options", "identity", "words"), [
    ([], "client", "peer certificate commonName=client"), (["-ic"], "client", "no verified peer certificate"),
    (["-vc"], None, "no verified peer certificate"),
])
def test_debug_log_names_version_ciphersuite_and_peer(tmp_path, site, options, identity, words):
    with FastscpServer(["-d", "--workers", "1", "-od", tmp_path, *site.options(*options)]) as server:
        assert echo(server, site, identity and getattr(site, identity))
        log_lines(server, "D: TLS handshake complete: TLSv1.3, TLS_", words)


# -- security profiles and ciphersuites -----------------------------------------------------------

#: profiles of storescp 3.6.7 that OpenSSL here can do, by their flags
COMMON_PROFILES = [
    ("+py", "bcp195-nd"), ("--profile-bcp195-nd", "bcp195-nd"), ("+px", "bcp195"), ("--profile-bcp195", "bcp195"),
    ("+pz", "bcp195-ex"), ("--profile-bcp195-ex", "bcp195-ex"), ("+pa", "aes"), ("--profile-aes", "aes"),
    ("+pn", "null"), ("--profile-null", "null"),
]
VERSIONS = [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def policy_of(site, **others):
    policy = TLSPolicy(str(site.own[1]), str(site.own[2]), password="", ca_files=(str(site.ca_file),),
                       verification=PeerVerification.IGNORE)
    return replace(policy, **others)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def client_context(version, cipher="ALL:eNULL"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_ciphers(f"{cipher}:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.maximum_version = version
    context.minimum_version = version
    return context


def shake_with_ours(server_context, context):
    """Shake hands in memory; return version and cipher, None when it fails."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError:
                return None
    return server.version(), server.cipher()[0]


def shake_with(server, context):
    """Shake hands over the network."""
    with socket.create_connection(("localhost", server.port), timeout=TIMEOUT_S) as sock:
        try:
            with context.wrap_socket(sock) as tls:
                return tls.version(), tls.cipher()[0]
        except (ssl.SSLError, ConnectionError):
            return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("flag", "profile"), [pair for pair in COMMON_PROFILES if not pair[0].startswith("--")])
def test_versions_and_ciphersuites_are_those_of_storescp(tmp_path, site, flag, profile):
    """Every version with every suite: what is negotiated, or that nothing is."""
    ours = build_context(policy_of(site, profile=profile))
    clients = [client_context(version) for version in VERSIONS]
    clients += [client_context(ssl.TLSVersion.TLSv1_2, suite.openssl_name) for suite in available_suites()]
    clients += [client_context(ssl.TLSVersion.TLSv1, suite.openssl_name) for suite in available_suites() if suite.sha1]
    negotiated = 0
    with StorescpServer(["--fork", "-od", tmp_path, *site.own, "-ic", flag]) as server:
        for index, context in enumerate(clients):
            theirs = shake_with(server, context)
            answer = shake_with_ours(ours, context)
            if index < len(VERSIONS):  # among many suites either may prefer another of equal strength
                assert (answer and answer[0]) == (theirs and theirs[0])
            else:
                assert answer == theirs
            negotiated += answer is not None
    assert 2 <= negotiated < len(clients)


def weak_suites():
    """Return what OpenSSL rates too weak for its security level 1: newer versions do so for tags of 8 octets."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("ALL:@SECLEVEL=0")
    return {cipher["name"] for cipher in context.get_ciphers() if 0 < cipher["strength_bits"] < 80}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize(("profile", "versions", "suites"), [
    ("8996", {"TLSv1.2", "TLSv1.3"}, {
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"}),
    ("8996-mod", {"TLSv1.2", "TLSv1.3"}, {
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-ECDSA-AES128-CCM", "ECDHE-ECDSA-AES256-CCM", "ECDHE-ECDSA-AES128-CCM8", "ECDHE-ECDSA-AES256-CCM8"}),
    ("bcp195-nd", {"TLSv1.2", "TLSv1.3"}, {
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384"}),
    ("bcp195-ex", {"TLSv1.2"}, {
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
        "DHE-RSA-AES128-GCM-SHA256", "DHE-RSA-AES256-GCM-SHA384"}),
    ("aes", {"TLSv1", "TLSv1.1", "TLSv1.2"}, {"AES128-SHA"}),
    ("null", {"TLSv1", "TLSv1.1", "TLSv1.2"}, {"NULL-SHA"}),
])
def test_versions_and_ciphersuites_of_profiles(site, profile, versions, suites):
    contexts = [build_context(policy_of(site, profile=profile)),
                build_context(policy_of(site, profile=profile, private_key_file=str(site.server_ec.path(".key.pem")),
                                        certificate_file=str(site.server_ec.path(".crt.pem"))))
                if profile not in {"aes", "null"} else None]
    contexts = [context for context in contexts if context is not None]
    assert {answer[0] for context in contexts for version in VERSIONS
            if (answer := shake_with_ours(context, client_context(version)))} == versions
    assert {answer[1] for context in contexts for suite in available_suites()
            if (answer := shake_with_ours(context, client_context(ssl.TLSVersion.TLSv1_2, suite.openssl_name)))} == suites - weak_suites()


@pytest.mark.parametrize(("flags", "version", "accepted"), [
    ([], "-tls1_1", False), ([], "-tls1_2", True), ([], "-tls1_3", True),
    (["+pg"], "-tls1_2", True), (["--profile-8996"], "-tls1_3", True), (["+pm"], "-tls1_3", True),
    (["--profile-8996-mod"], "-tls1_2", True), (["+py"], "-tls1_3", True), (["--profile-bcp195-nd"], "-tls1_1", False),
    (["+px"], "-tls1", True), (["--profile-bcp195"], "-tls1_1", True), (["+pz"], "-tls1_3", False),
    (["--profile-bcp195-ex"], "-tls1_2", True), (["+pa"], "-tls1", True), (["--profile-aes"], "-tls1_3", False),
    (["+pn"], "-tls1_2", True), (["--profile-null"], "-tls1_3", False),
], ids=str)
def test_profiles_of_the_running_service(tmp_path, site, flags, version, accepted):
    with FastscpServer(["-od", tmp_path, "--workers", "1", *site.own, "-ic", *flags]) as server:
        report = s_client(server, version, "-cipher", "ALL:eNULL:@SECLEVEL=0")
        assert ("Verify return code" in report and "Cipher is (NONE)" not in report) == accepted, report
        if not accepted:
            log_lines(server, "TLS handshake failed: the peer's TLS version is not accepted")


@pytest.mark.parametrize("flag", ["+pb", "--profile-basic"])
def test_profile_that_openssl_cannot_do_is_refused(site, flag):
    if find_suite("TLS_RSA_WITH_3DES_EDE_CBC_SHA") in available_suites():
        pytest.skip("this OpenSSL has 3DES")
    text = start_failure(*site.own, flag)
    assert text.startswith("F: security profile 'Basic TLS Secure Transport Connection Profile' is not possible: OpenSSL")
    assert "has no ciphersuite TLS_RSA_WITH_3DES_EDE_CBC_SHA" in text


@pytest.mark.parametrize(("options", "cipher"), [
    (["+px", "+cs", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"], "ECDHE-RSA-AES256-SHA384"),
    (["+px", "--cipher", "ECDHE-RSA-AES256-SHA384"], "ECDHE-RSA-AES256-SHA384"),
    (["--cipher", "tls_rsa_with_aes_128_gcm_sha256"], "AES128-GCM-SHA256"),
    (["+cs", "AES128-GCM-SHA256", "+cs", "AES256-GCM-SHA384"], "AES256-GCM-SHA384"),
    (["+pn", "+cs", "NULL-SHA256"], "NULL-SHA256"),
])
def test_additional_ciphersuites(tmp_path, site, options, cipher):
    with FastscpServer(["-od", tmp_path, "--workers", "1", *site.own, "-ic", *options]) as server:
        report = s_client(server, "-tls1_2", "-cipher", f"{cipher}:@SECLEVEL=0")
        assert f"Cipher is {cipher}" in report


@pytest.mark.parametrize(("options", "words"), [
    (["+cs", "TLS_NO_SUCH"], "unknown ciphersuite: TLS_NO_SUCH"),
    (["+cs", "DES-CBC3-SHA", "+px"], "ciphersuite 'DES-CBC3-SHA' is not supported by OpenSSL"),
    (["+cs", "TLS_RSA_WITH_NULL_SHA"], "unencrypted ciphersuite 'TLS_RSA_WITH_NULL_SHA' is not permitted with security profile"),
    (["+pa", "+cs", "NULL-SHA"], "unencrypted ciphersuite 'NULL-SHA' is not permitted with security profile 'AES TLS"),
    (["+cs", "AES128-SHA"], "ciphersuite 'AES128-SHA' with SHA-1 is not permitted with security profile 'BCP 195 RFC 8996"),
    (["+pm", "+cs", "AES128-GCM-SHA256"], "additional ciphersuites are not permitted with security profile 'Modified"),
    (["+pa", "+cs", "TLS_AES_256_GCM_SHA384"], "unknown ciphersuite: TLS_AES_256_GCM_SHA384"),
])
def test_ciphersuites_that_are_refused(site, options, words):
    assert words in start_failure(*site.own, *options)


@pytest.mark.parametrize("flag", ["+cc", "--list-ciphers"])
def test_list_of_ciphersuites(flag):
    ours = run(sys.executable, "-m", "fastscp", flag)
    theirs = run("storescp", flag)
    assert ours.returncode == theirs.returncode == 0
    names = [{line.strip() for line in done.stdout.splitlines() if line.startswith("  TLS_")} for done in (ours, theirs)]
    assert len(names[1]) > 30
    assert names[1] <= names[0]
    assert "Supported TLS ciphersuites are:" in ours.stdout.splitlines()
    assert "TLS_AES_256_GCM_SHA384" in names[0]


@pytest.mark.parametrize("flag", ["+ph", "--list-profiles"])
def test_list_of_profiles(flag):
    done = run(sys.executable, "-m", "fastscp", flag)
    assert done.returncode == 0
    for name, profile in PROFILES.items():
        assert f"  --profile-{name}: {profile.title}" in done.stdout


# -- certificates too weak for a profile ----------------------------------------------------------


def test_short_key_of_our_own(site, tmp_path):
    weak = site.authority.issue("weak", "rsa1024")
    own = ["+tls", weak.key_file(), weak.certificate_file()]
    for flag in ("+pg", "+pm"):
        text = start_failure(*own, flag)
        assert "has 1024 bits, security profile" in text
        assert "requires 2048" in text
    with FastscpServer(["-od", tmp_path, *own, "+py", "-ic"]) as server:
        log_lines(server, "W: RSA key in certificate", "has only 1024 bits, RFC 9325 recommends 2048")


def test_dsa_certificate(site, tmp_path):
    identity = site.authority.issue("dsa", "dsa")
    own = ["+tls", identity.key_file(), identity.certificate_file()]
    assert "DSA certificate" in start_failure(*own)
    with FastscpServer(["-od", tmp_path, *own, "-ic", "+py", "+cs", "TLS_DHE_DSS_WITH_AES_256_GCM_SHA384"]) as server:
        report = s_client(server, "-cipher", "ALL:@SECLEVEL=0", "-sigalgs", "DSA+SHA256:RSA+SHA256")
        assert "Cipher is DHE-DSS-AES256-GCM-SHA384" in report


# -- Diffie-Hellman parameters --------------------------------------------------------------------


def temporary_key(server):
    report = s_client(server, "-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0")
    return next(line for line in report.splitlines() if "Temp Key" in line)


@pytest.mark.parametrize("flag", ["+dp", "--dhparam"])
def test_dh_parameters(tmp_path, site, flag):
    parameters = tmp_path / "dh.pem"
    run("openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt", "group:ffdhe3072", "-out", parameters)
    options = ["-od", tmp_path, *site.own, "-ic", "+py"]
    for kind in (FastscpServer, StorescpServer):
        with kind([*options, flag, parameters]) as server:
            assert temporary_key(server).endswith("DH, 3072 bits")
    with FastscpServer(options) as server:
        assert temporary_key(server).endswith("DH, 2048 bits")


def test_dh_parameters_that_cannot_be_used(tmp_path, site):
    short = tmp_path / "short.pem"
    run("openssl", "dhparam", "-out", short, "512")
    for path, words in ((tmp_path / "none", "No such file"), (site.own[1], ""), (short, "")):
        profile = "+pz" if path is short else "+py"
        with FastscpServer(["-od", tmp_path, *site.own, "-ic", profile, "+dp", path]) as server:
            log_lines(server, f"W: unable to load temporary DH parameter file '{path}', ignoring", words)
            assert temporary_key(server).endswith("DH, 2048 bits")


# -- server name indication -----------------------------------------------------------------------


@pytest.mark.parametrize(("options", "names"), [
    (["--expect-sni", "pacs.example"], {"pacs.example", "PACS.Example", None}),
    (["--no-sni"], {"pacs.example", "PACS.Example", "other.example", None}),
    ([], {"pacs.example", "PACS.Example", "other.example", None}),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_server_name(tmp_path, site, options, names):
    with FastscpServer(["-od", tmp_path, *site.own, "-ic", *options]) as server:
        accepted = set()
        for name in ("pacs.example", "PACS.Example", "other.example", None):
            report = s_client(server, *(["-noservername"] if name is None else ["-servername", name]))
            if "Cipher is (NONE)" not in report:
                accepted.add(name)
            else:
                assert "unrecognized name" in report
        assert accepted == names
        if "other.example" not in names:
            log_lines(server, "TLS handshake failed: the peer asked for another server name than pacs.example")


# -- random generator -----------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [("+rs", "+ws"), ("--seed", "--write-seed")])
def test_seed_is_written_back(tmp_path, site, flags):
    seed = tmp_path / "seed"
    seed.write_bytes(b"seed")
    for _ in range(2):
        before = seed.read_bytes()
        with FastscpServer(["-od", tmp_path, *site.own, "-ic", flags[0], seed, flags[1]]) as server:
            assert echo(server, site)
        assert len(seed.read_bytes()) == 1024
        assert seed.read_bytes() != before


@pytest.mark.parametrize("flag", ["+wf", "--write-seed-file"])
def test_seed_is_written_to_another_file(tmp_path, site, flag):
    seed, other = tmp_path / "seed", tmp_path / "other"
    seed.write_bytes(b"seed")
    with FastscpServer(["-od", tmp_path, *site.own, "-ic", "+rs", seed, flag, other]) as server:
        assert echo(server, site)
    assert seed.read_bytes() == b"seed"
    assert len(other.read_bytes()) == 1024
    assert stat.S_IMODE(other.stat().st_mode) == 0o600


def test_seed_of_a_device_and_seeds_that_cannot_be_used(tmp_path, site):
    with FastscpServer(["-od", tmp_path, *site.own, "-ic", "+rs", "/dev/urandom"]) as server:
        assert echo(server, site)
    with FastscpServer(["-od", tmp_path, *site.own, "-ic", "+rs", tmp_path / "none", "+wf", tmp_path / "no" / "file"]) as server:
        assert echo(server, site)
        log_lines(server, f"W: unable to read random seed file '{tmp_path}/none', ignoring: No such file or directory")
        log_lines(server, f"W: unable to write random seed file '{tmp_path}/no/file', ignoring: No such file or directory")


# -- what goes wrong costs one line and nobody else anything --------------------------------------


def test_plain_client_on_a_tls_port(tmp_path, site):
    with FastscpServer(["-od", tmp_path, "--workers", "1", *site.own, "-ic"]) as server:
        assert run("echoscu", "localhost", server.port).returncode != 0
        line, = log_lines(server, "the peer speaks DICOM without TLS, this port is for TLS")
        assert line.startswith("E: ")
        assert echo(server, site)
        assert len(server.log().splitlines()) == 1


def test_tls_client_on_a_plain_port(tmp_path, site):
    with FastscpServer(["-od", tmp_path, "--workers", "1"]) as server:
        assert not echo(server, site, site.client)
        line, = log_lines(server, "the peer wants TLS, this port is without TLS")
        assert line.startswith("E: ")
        assert run("echoscu", "localhost", server.port).returncode == 0
        assert len(server.log().splitlines()) == 1


def test_stalled_handshakes_end_and_hold_up_nobody(tmp_path, site):
    """Silent clients, clients that stop within a record, and clients that stop after their first flight."""
    hello = ssl.MemoryBIO()
    with_hello = client_context(ssl.TLSVersion.TLSv1_3).wrap_bio(ssl.MemoryBIO(), hello)
    with pytest.raises(ssl.SSLWantReadError):
        with_hello.do_handshake()
    first_flight = hello.read()
    with FastscpServer(["-od", tmp_path, "--workers", "1", "-ta", "2", *site.own, "-ic"]) as server:
        stalled = []
        for octets in (b"", first_flight[:3], first_flight):
            sock = socket.create_connection(("localhost", server.port), timeout=TIMEOUT_S)
            sock.sendall(octets)
            stalled.append(sock)
        assert echo(server, site)
        for sock in stalled:
            while sock.recv(1 << 16):
                pass
            sock.close()
        wait_until(lambda: len(log_lines(server, "TLS handshake with", "not complete in time, closing")) == 3, "three lines")
        assert len(server.log().splitlines()) == 3
        assert echo(server, site)


def test_client_that_resets_the_connection_in_the_handshake(tmp_path, site):
    with FastscpServer(["-od", tmp_path, "--workers", "1", *site.own, "-ic"]) as server:
        for octets in (b"", b"\x16\x03\x01\x02\x00"):
            sock = socket.create_connection(("localhost", server.port), timeout=TIMEOUT_S)
            sock.sendall(octets)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
        assert echo(server, site)
        assert len(server.role("worker")) == 1


# -- reload ---------------------------------------------------------------------------------------


def served_certificate(server):
    return ssl.get_server_certificate(("localhost", server.port))


def test_certificates_are_read_again(tmp_path, site):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    key.write_bytes(Path(site.own[1]).read_bytes())
    certificate.write_bytes(Path(site.own[2]).read_bytes())
    with FastscpServer(["-od", tmp_path, "+tls", key, certificate, "-ic"]) as server:
        first = served_certificate(server)
        assert first == certificate.read_text()
        certificate.write_text("being written")
        server.signal(signal.SIGHUP)
        log_lines(server, f"E: not reloaded, what was in force stays: unable to load certificate from '{certificate}'")
        assert served_certificate(server) == first
        key.write_bytes(site.server_ec.path(".key.pem").read_bytes())
        certificate.write_bytes(site.server_ec.path(".crt.pem").read_bytes())
        server.signal(signal.SIGHUP)
        wait_until(lambda: served_certificate(server) == certificate.read_text(), "the new certificate")


class Unprivileged(FastscpServer):
    """A server that may tell others than root when it is ready."""

    def command(self):
        os.chmod(self._notify_directory, 0o755)
        os.chmod(self._environment["NOTIFY_SOCKET"], 0o777)
        return super().command()


@pytest.fixture
def anybodys_directory():
    """Return a directory of nobody's that nobody can reach, which is not so for pytest's own."""
    directory = tempfile.mkdtemp(prefix="fastscp-test-")
    os.chown(directory, 65534, 65534)
    yield directory
    shutil.rmtree(directory)


def readable_by_anybody():
    """Tell whether nobody may read the program where it is installed: not below root's home, for example."""
    return all(folder.stat().st_mode & stat.S_IXOTH
               for module in (pydicom, fastscp) for folder in Path(module.__file__).parents)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.skipif(not readable_by_anybody(), reason="the program lies where nobody may read it")
def test_keys_are_read_before_privileges_are_dropped(tmp_path, site, anybodys_directory):
    key = tmp_path / "key.pem"
    key.write_bytes(Path(site.own[1]).read_bytes())
    key.chmod(0o600)
    with Unprivileged(["-od", anybodys_directory, "+tls", key, site.own[2], "-ic", "--user", "nobody"]) as server:
        assert echo(server, site)
        assert server.role("worker")
        assert all(process.uids() == (65534,) * 3 for process in server.family())
