"""Command lines that people run storescp with, unchanged but for paths and ports, with DCMTK's clients."""

from __future__ import annotations

import datetime
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.servers import FastscpServer, wait_until

pytestmark = pytest.mark.oracle

CT_FILE = "CT.1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322"
CT_STUDY = "1.3.6.1.4.1.5962.1.2.1.20040119072730.12322"
CT_NAME = "CompressedSamples_CT1"
MR_STUDY = "1.3.6.1.4.1.5962.1.2.4.20040826185059.5457"
TIME = r"[0-9]{8}_[0-9]{9}"
PEER = r"[A-Za-z0-9.:-]+"
UNIQUE = r"CT\.X\.[0-9.]+"

SCRIPT = '#!/bin/sh\nprintf "[%s]" "$@" >>calls\necho >>calls\n'
PROFILES = """[[TransferSyntaxes]]
[Uncompressed]
TransferSyntax1 = LittleEndianExplicit
TransferSyntax2 = LittleEndianImplicit
[[PresentationContexts]]
[Storage]
PresentationContext1 = CTImageStorage\\Uncompressed
PresentationContext2 = MRImageStorage\\Uncompressed
[[Profiles]]
[Default]
PresentationContexts = Storage
"""
LOG_CONFIGURATION = """log4cplus.rootLogger = WARN, console
log4cplus.appender.console = log4cplus::ConsoleAppender
log4cplus.appender.console.logToStdErr = true
log4cplus.appender.console.layout = log4cplus::PatternLayout
log4cplus.appender.console.layout.ConversionPattern = %m%n
"""


@dataclass(frozen=True)
class Line:
    """One command line; words in the working directory ``.`` of the server."""

    number: int
    arguments: str
    calls: str  #: regular expression of what the script or file ``calls`` got for the CT object
    port_first: bool = False


LINES = [
    Line(2, "--fork --promiscuous --write-xfer-little --exec-on-reception \"echo '#a,#c,#r,#p,#f' >calls\" "
            "--sort-on-study-uid scp --output-directory DIR",
         rf'"MODALITY","ARCHIVE",{PEER},DIR/scp_(?:{CT_STUDY}|{MR_STUDY}),(?:{CT_FILE}|MR\S+)'),
    Line(3, "--fork --promiscuous --write-xfer-little --exec-on-reception \"./script '#a' '#c' '#r' '#p' '#f' &\" "
            "--sort-on-study-uid scp --output-directory DIR",
         rf'\["MODALITY"\]\["ARCHIVE"\]\[{PEER}\]\[DIR/scp_{CT_STUDY}\]\[{CT_FILE}\]'),
    Line(5, "--eostudy-timeout 1 --write-xfer-little --exec-on-eostudy \"./script '#a' '#c' '#r' '#p'\" "
            "--sort-on-patientname --log-config log.cfg --output-directory DIR",
         rf'\["MODALITY"\]\["ARCHIVE"\]\[{PEER}\]\[DIR/{CT_NAME}_{TIME}\]'),
    Line(6, "--fork -od DIR -pm -sp -xcr './script --xcrdir \"#p\" --xcrfile \"#f\" --cleanup'",
         rf"\[--xcrdir\]\[DIR/{CT_NAME}_{TIME}\]\[--xcrfile\]\[{CT_FILE}\]\[--cleanup\]"),
    Line(7, '-od DIR -pm -sp -xcr "./script --xcrdir #p --xcrfile #f"',
         rf"\[--xcrdir\]\[DIR/{CT_NAME}_{TIME}\]\[--xcrfile\]\[{CT_FILE}\]"),
    Line(8, '--promiscuous -od DIR -ss study -tos 60 +uf -xcs "./script #p"', rf"\[DIR/study_{TIME}\]"),
    Line(9, '-d -v --fork -ta 60 -aet NAME -od DIR -xcr "./script #f"', rf"\[{CT_FILE}\]"),
    Line(10, '-ll warn --fork +xe -pm +te -aet A -pdu 131072 -dhl -up -g -e -od DIR -su "" -uf '
             '-xcr "./script #a #r #p #f #c"',
         rf"\[MODALITY\]\[127\.0\.0\.1\]\[DIR/{CT_STUDY}\]\[{CT_FILE}\]\[ARCHIVE\]"),
    Line(11, '--sort-conc-studies study -tos 1 -od DIR -xcs "./script -path #p"', rf"\[-path\]\[DIR/study_{TIME}\]"),
    Line(12, '-aet "DOG" --sort-on-study-uid "MYDATA" --eostudy-timeout 16 --exec-sync '
             '--exec-on-eostudy "./script #r #a #c #p" -od "DIR/" -fe ".dcm"',
         rf"\[{PEER}\]\[MODALITY\]\[ARCHIVE\]\[DIR/MYDATA_{CT_STUDY}\]"),
    Line(14, '-v -pm -sp -pdu 131072 +xa -aet NMPROC -tos 3 -od DIR -xcs "./script #a #c \'#r\' #p"',
         rf"\[MODALITY\]\[ARCHIVE\]\[{PEER}\]\[DIR/{CT_NAME}_{TIME}\]"),
    Line(18, '--fork -su P -rns -tos 60 -od DIR -xcs "./script #p #a"',
         rf"\[DIR/P_{CT_STUDY}\]\[MODALITY\]"),
]


class StorescpNamed(FastscpServer):
    """fastscp called as people call storescp; ``port_first`` puts the port where some do."""

    port_first = False

    def command(self) -> list[str]:
        order = "sys.argv[-1:] + sys.argv[1:-1]" if self.port_first else "sys.argv[1:]"
        program = f"import sys; from fastscp.cli.main import main; sys.argv = ['storescp'] + {order}; sys.exit(main())"
        return [sys.executable, "-c", program]


class PortFirst(StorescpNamed):
    port_first = True


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "DIR").mkdir()
    for name in ("script", "script.sh"):
        (tmp_path / name).write_text(SCRIPT)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "storescp.cfg").write_text(PROFILES)
    (tmp_path / "log.cfg").write_text(LOG_CONFIGURATION)
    return tmp_path


@pytest.fixture(scope="session")
def files(dicom_files: list[Path]) -> list[Path]:
    chosen = {path.name: path for path in dicom_files if path.name in {"CT_small.dcm", "MR_small.dcm"}}
    return [chosen["CT_small.dcm"], chosen["MR_small.dcm"]]


def send(client: str, port: int, files: list[Path], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([client, "-aet", "MODALITY", "-aec", "ARCHIVE", *options, "127.0.0.1", str(port),
                           *map(str, files)], capture_output=True, text=True, check=False, timeout=60)


def calls(place: Path) -> str:
    path = place / "calls"
    return path.read_text() if path.exists() else ""


def serve(place: Path, line: Line, files: list[Path], work: Callable[[FastscpServer], None] | None = None) -> str:
    """Run a line, send CT and MR, end it; return what its hooks wrote to standard output."""
    kind = PortFirst if line.port_first else StorescpNamed
    with kind(shlex.split(line.arguments), cwd=place) as server:
        done = send("storescu", server.port, files)
        assert done.returncode == 0, done.stderr
        if work is not None:
            work(server)
        assert server.stop() == 0
        return server.output().decode()


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"line{line.number}")
def test_line(line: Line, place: Path, files: list[Path]) -> None:
    serve(place, line, files)
    assert re.search(rf"^{line.calls}$", calls(place), re.MULTILINE), calls(place)


def test_line_1_with_tls(place: Path, files: list[Path]) -> None:
    make_certificate(place)
    arguments = ["+tls", "key.pem", "cert.pem", "+cf", "cert.pem", "--fork", "--promiscuous", "+xa", "-od", "DIR", "+uf",
                 "-xcr", "./script DIR/#f #r #a #c"]
    with StorescpNamed(arguments, cwd=place) as server:
        done = send("storescu", server.port, files[:1], "+tls", str(place / "key.pem"), str(place / "cert.pem"), "+cf",
                    str(place / "cert.pem"))
        assert done.returncode == 0, done.stderr
        assert server.stop() == 0
    assert re.fullmatch(rf"\[DIR/{UNIQUE}\]\[{PEER}\]\[MODALITY\]\[ARCHIVE\]\n", calls(place))


def test_line_1_parses_the_version() -> None:
    done = subprocess.run([sys.executable, "-m", "fastscp", "--version"], capture_output=True, text=True, check=True)
    found = re.match(r"\$fastscp: fastscp v([0-9]+)\.([0-9]+)\.([0-9]+) [0-9]{4}-[0-9]{2}-[0-9]{2} \$\n", done.stdout)
    assert found
    assert tuple(map(int, found.groups())) >= (3, 7, 0)


def test_line_2_writes_to_a_fifo(place: Path, files: list[Path]) -> None:
    os.mkfifo(place / "PIPE")
    reader = os.open(place / "PIPE", os.O_RDWR | os.O_NONBLOCK)
    line = Line(2, LINES[0].arguments.replace(">calls", ">PIPE"), "")
    serve(place, line, files[:1])
    text = os.read(reader, 65536).decode()
    os.close(reader)
    assert re.fullmatch(rf'"MODALITY","ARCHIVE",{PEER},DIR/scp_{CT_STUDY},{CT_FILE}\n', text)


def test_line_4_with_profile_and_log_configuration(place: Path, files: list[Path]) -> None:
    arguments = ("-v --aetitle NAME --config-file storescp.cfg Default --write-xfer-same --log-config log.cfg "
                 "--sort-on-study-uid scp --output-directory DIR")
    serve(place, Line(4, arguments, ""), files)
    assert (place / "DIR" / f"scp_{CT_STUDY}" / CT_FILE).exists()


def test_line_13_shows_what_the_hook_prints(place: Path, files: list[Path]) -> None:
    arguments = ("--accept-all --output-directory DIR --exec-sync --exec-on-reception "
                 "'dcmdump --load-short --print-short --print-filename --search PatientName \"DIR/#f\"'")
    shown = serve(place, Line(13, arguments, "", port_first=True), files)
    assert f"# dcmdump (1/1): DIR/{CT_FILE}\n(0010,0010) PN [CompressedSamples^CT1]" in shown


def test_line_15_writes_to_both_outputs(place: Path, files: list[Path]) -> None:
    arguments = "-xs -fe .dcm -sp -od DIR --exec-on-reception 'echo #f 1>&2' --exec-on-eostudy 'echo #p'"
    logged: list[bytes] = []
    shown = serve(place, Line(15, arguments, ""), files, lambda server: logged.append(server.log()))
    assert f"{CT_FILE}.dcm\n".encode() in logged[0]
    assert re.search(rf"^DIR/{CT_NAME}_{TIME}$", shown, re.MULTILINE)


def test_line_16_renames_what_was_received(place: Path, files: list[Path]) -> None:
    serve(place, Line(16, '-od DIR --exec-on-reception "mv #p/#f #p/#f.complete"', ""), files)
    assert sorted(path.suffix for path in (place / "DIR").iterdir()) == [".complete", ".complete"]


def test_line_17_is_a_sink(place: Path, files: list[Path]) -> None:
    serve(place, Line(17, "--fork -aet STORESCP --ignore", ""), files)
    assert list((place / "DIR").iterdir()) == []
    assert not [path for path in place.iterdir() if path.name.startswith(("CT", "MR"))]


@pytest.mark.parametrize("number", [8, 11, 14])
def test_studies_end_by_timeout_or_by_the_next_study(number: int, place: Path, files: list[Path]) -> None:
    line = next(line for line in LINES if line.number == number)
    with StorescpNamed(shlex.split(line.arguments), cwd=place) as server:
        for path in files:
            done = send("dcmsend", server.port, [path])
            assert done.returncode == 0, done.stderr
        wait_until(lambda: len(calls(place).splitlines()) >= (1 if number == 8 else 2), "studies ended")
    assert re.search(rf"^{line.calls}$", calls(place), re.MULTILINE)


def make_certificate(place: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True).sign(key, hashes.SHA256()))
    (place / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    (place / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
