"""Real DCMTK clients and pynetdicom send to fastscp."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.rawscu import inflate, read_instance
from tests.support.servers import FastscpServer, StorescpServer

pytestmark = pytest.mark.oracle


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=280, check=False)


def received(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in os.listdir(directory) if not name.startswith(".")}


def data_sets(directory: Path) -> dict[str, bytes]:
    return {name: read_instance(directory / name).dataset for name in received(directory)}


def test_echoscu(tmp_path: Path) -> None:
    with FastscpServer(["-od", tmp_path]) as server:
        result = run("echoscu", "-v", "localhost", server.port)
        assert result.returncode == 0, result.stderr
        assert "Received Echo Response (Success)" in result.stderr + result.stdout


def test_dcmsend_stores_every_real_file_it_can_send(tmp_path: Path, dicom_files: list[Path]) -> None:
    """The same invocation against the real storescp must store the same names."""
    outcomes, answers = [], []
    for kind, name in ((FastscpServer, "ours"), (StorescpServer, "theirs")):
        directory = tmp_path / name
        directory.mkdir()
        with kind(["+xa", "-pm", "+B", "-od", directory]) as server:
            report = tmp_path / f"{name}.txt"
            result = run("dcmsend", "-v", "--no-halt", "--no-illegal-proposal", "--decompress-never", "+crf", report, "localhost",
                server.port, *dicom_files)
        outcomes.append(data_sets(directory))
        responses = [line for line in (result.stdout + result.stderr).splitlines() if "Received C-STORE Response" in line]
        assert len(responses) > 100
        answers.append(responses)
    ours, theirs = outcomes
    assert len(theirs) > 30
    assert answers[0] == answers[1]
    assert ours == theirs


@pytest.mark.parametrize("client", [
    ["storescu"], ["storescu", "-R"], ["storescu", "--max-send-pdu", "4096"], ["storescu", "-pdu", "131072"],
    ["storescu", "+II"], ["storescu", "+C"], ["dcmsend"],
])
@pytest.mark.parametrize("server_options", [[], ["-pdu", "131072"], ["-pdu", "4096", "--single-process"]])
def test_clients_store_the_same_data_set_as_with_storescp(tmp_path: Path, client: list[str], server_options: list[str],
                                                          dicom_files: list[Path]) -> None:
    sent = [path for path in dicom_files if path.name in {"CT_small.dcm", "MR_small.dcm", "test-SR.dcm", "rtplan.dcm"}]
    assert len(sent) == 4
    outcomes = []
    for kind, name in ((FastscpServer, "ours"), (StorescpServer, "theirs")):
        directory = tmp_path / name
        directory.mkdir()
        with kind(["+B", *server_options, "-od", directory]) as server:
            result = run(*client, "localhost", server.port, *sent)
            assert result.returncode == 0, result.stderr
        outcomes.append(data_sets(directory))
    if "+II" in client:  # storescu invents UIDs
        assert len(outcomes[0]) == len(outcomes[1]) == 4
    else:
        assert outcomes[0] == outcomes[1]


PROPOSALS = ["-x=", "-xe", "-xb", "-xi", "-xs", "-xy", "-xx", "-xv", "-xw", "-xt", "-xu", "-xr", "-xd", "-xm", "-xh", "-xn", "-xl"]


@pytest.mark.parametrize("proposal", PROPOSALS)
def test_every_proposal_of_storescu(tmp_path: Path, proposal: str, dicom_files: list[Path]) -> None:
    """Send a file that the proposal can carry; the outcome equals storescp's, data set by data set."""
    names = {"-xy": "SC_rgb_jpeg_dcmtk.dcm", "-xv": "MR_small_jp2klossless.dcm", "-xr": "MR_small_RLE.dcm",
             "-xt": "MR_small_jpeg_ls_lossless.dcm"}
    chosen = [path for path in dicom_files if path.name == names.get(proposal, "MR_small.dcm")]
    assert len(chosen) == 1
    outcomes = []
    for kind, name in ((FastscpServer, "ours"), (StorescpServer, "theirs")):
        directory = tmp_path / name
        directory.mkdir()
        with kind(["+xa", "-od", directory]) as server:
            result = run("storescu", proposal, "localhost", server.port, chosen[0])
        stored = data_sets(directory)
        if proposal == "-xd":  # what counts is the data set, not how it was deflated
            stored = {name: inflate(octets) for name, octets in stored.items()}
        outcomes.append((result.returncode, stored))
    assert outcomes[0] == outcomes[1]


def test_pynetdicom_storescu(tmp_path: Path, dicom_files: list[Path]) -> None:
    import pydicom
    from pynetdicom import AE

    sent = [path for path in dicom_files if path.name in {"CT_small.dcm", "MR_small.dcm"}]
    with FastscpServer(["-od", tmp_path]) as server:
        for path in sent:
            ds = pydicom.dcmread(path)
            ae = AE("PYNETDICOM")
            ae.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
            association = ae.associate("127.0.0.1", server.port)
            assert association.is_established
            assert association.send_c_store(ds).Status == 0
            association.release()
            assert association.is_released
    assert len(received(tmp_path)) == 2


def test_lost_output_directory_is_out_of_resources_and_the_association_goes_on(tmp_path: Path, dicom_files: list[Path]) -> None:
    sent = [path for path in dicom_files if path.name in {"CT_small.dcm", "MR_small.dcm"}]
    directory = tmp_path / "out"
    directory.mkdir()
    with FastscpServer(["-od", directory]) as server:
        directory.rmdir()
        result = run("storescu", "-v", "--no-halt", "localhost", server.port, *sent)
        assert (result.stderr + result.stdout).count("Refused: OutOfResources") == 2
