"""fastscp's own rules; those of storescp are compared with it in tests/differential/test_command_line.py."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastscp.cli.check import check, check_logging, check_parameters
from fastscp.cli.options import OPTIONS
from fastscp.cli.parse import parse
from fastscp.errors import UsageError


def judge(*arguments, verbose=False):
    line = parse("fastscp", arguments)
    check_parameters(line)
    check_logging(line)
    check(line, verbose=verbose)


def refusal(*arguments):
    with pytest.raises(UsageError) as caught:
        judge(*arguments)
    assert caught.value.exit_status == 1
    return str(caught.value)


@pytest.mark.parametrize("arguments", [
    ["-ts", "-1"], ["-aet", ""], ["-aet", " 1234567890123456 "], ["-aet", "A_b-1.2 ~"], ["-fe", "-v"],
    ["--workers", "4"], ["--fork", "--workers", "1"], ["--max-associations", "10"], ["--drain-timeout", "0"],
    ["--user", "dicom"], ["+ac", "--hosts-allow", "a", "--hosts-deny", "b"], ["--on-late", "append"],
    ["--on-late", "NEW-STUDY"], ["-sp", "--study-max-age", "60"], ["-sp", "--study-manifest", "--transliterate-names"],
    ["--state-dir", "d"], ["--private-dictionary", "none"], ["--exec-on-eoseries", "true"], ["--exec-argv", "--hook-jobs", "1", "--hook-timeout", "5"],
    ["--event-log", "f", "--event-digest"], ["--log-json"], ["--log-json", "-v"], ["-i6"], ["-i0", "-i4"],
    ["--fork", "-sp", "-rns", "-xcs", "true", "-tos", "1"], ["+tls", "k", "c", "+pg", "+pm", "+pb"],
    ["--no-sni"], ["--expect-sni", "name"], ["+tls", "k", "c", "--expect-sni", "name"], ["+tls", "k", "c", "+pg", "+cs", "X"],
])
def test_accepted(arguments):
    """The port comes last."""
    judge(*arguments, "11112")


@pytest.mark.parametrize(("arguments", "message"), [
    (["--min-free", "5%%"], "Invalid value for option --min-free (5%%)"),
    (["--min-free", "100%"], "Invalid value for option --min-free (100%)"),
    (["--max-object-size", "5%"], "Invalid value for option --max-object-size (5%)"),
    (["--sync", "always"], "Invalid value for option --sync (always)"),
    (["-ts", "-2"], "Invalid value for option --socket-timeout (underflow: -2)"),
    (["-aet", "12345678901234567"], "Invalid value for option --aetitle (12345678901234567): more than 16 characters"),
    (["-aet", "A\\B"], "Invalid value for option --aetitle (A\\B): not the characters of an AE title"),
    (["-aet", "\xc4"], "Invalid value for option --aetitle (\xc4): not the characters of an AE title"),
    (["-aet", "A\tB"], "Invalid value for option --aetitle (A\tB): not the characters of an AE title"),
    (["+tls", "key", "-v"], ("Missing value for option --enable-tls\nhint: --enable-tls takes private key and "
     "certificate; '-v' was taken for the certificate of --enable-tls")),
    (["--event-log", "-v"], ("Missing value for option --event-log\n"
     "hint: '-v' was taken for the filename of --event-log")),
    (["--workers", "0"], "Invalid value for option --workers (underflow: 0)"),
    (["--workers", "2x"], "Invalid value for option --workers (2x)"),
    (["--workers", "2", "--single-process"], "--workers not allowed with --single-process"),
    (["--max-associations", "2", "--single-process"], "--max-associations not allowed with --single-process"),
    (["--max-associations", "0"], "Invalid value for option --max-associations (underflow: 0)"),
    (["--hosts-allow", "f"], "--hosts-allow only allowed with --access-control"),
    (["--hosts-deny", "f", "+ac", "-ac"], "--hosts-deny only allowed with --access-control"),
    (["--on-late", "never"], "Invalid value for option --on-late (never)"),
    (["--study-max-age", "5"], ("--study-max-age only allowed with --sort-conc-studies, --sort-on-study-uid, "
     "--sort-on-patientname, --exec-on-eostudy or --rename-on-eostudy")),
    (["--study-manifest"], ("--study-manifest only allowed with --sort-conc-studies, --sort-on-study-uid or "
     "--sort-on-patientname")),
    (["-su", "", "--transliterate-names"], "--transliterate-names only allowed with --sort-on-patientname"),
    (["--event-digest"], "--event-digest only allowed with --event-log"),
    (["--hook-jobs", "0"], "Invalid value for option --hook-jobs (underflow: 0)"),
    (["--hook-timeout", "-1"], "Invalid value for option --hook-timeout (underflow: -1)"),
    (["--max-waiting-hooks", "0"], "Invalid value for option --max-waiting-hooks (underflow: 0)"),
    (["--hook-retries", "-1"], "Invalid value for option --hook-retries (underflow: -1)"),
    (["--drain-timeout", "-1"], "Invalid value for option --drain-timeout (underflow: -1)"),
    (["--log-json", "-lc", "/dev/null"], "--log-json not allowed with --log-config"),
    (["--expect-sni", "x", "--no-sni"], "--no-sni not allowed with --expect-sni"),
    (["--no-sni", "--expect-sni", "x"], "--no-sni not allowed with --expect-sni"),
    (["+pg"], "--profile-8996 only allowed with --enable-tls"),
    (["+v"], "--verbose-pc only allowed with verbose mode"),
])
def test_refused(arguments, message):
    assert refusal(*arguments, "11112") == message


@pytest.mark.parametrize("value", ["5x", "5.0", "0x10", "5 ", "", "five", "٥", "1_000"])
def test_only_whole_numbers_are_numbers(value):
    """storescp takes 5x for 5."""
    assert refusal("-ta", value, "11112") == f"Invalid value for option --acse-timeout ({value})"


@pytest.mark.parametrize("port", ["11112x", "0", "-5", "65536", "", "１１１１２"])
def test_ports_that_are_none(port):
    assert refusal(port).startswith("Invalid parameter value ")


def test_sockets_of_systemd_need_no_port(monkeypatch):
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert refusal("-v") == "Missing parameter port"
    monkeypatch.setenv("LISTEN_FDS", "1")
    judge("-v")


def test_inetd_needs_no_port():
    judge("--inetd")
    judge("--inetd", "99999")


@settings(deadline=None)
@given(st.lists(st.one_of(
    st.sampled_from([flag for option in OPTIONS for flag in option.flags]),
    st.sampled_from(["0", "5", "-1", "99999999999999999999", "", "x", "+", "--", "warn", "append"]),
    st.text(max_size=5).filter(lambda text: not text.startswith("@")),
)))
def test_any_command_line_is_taken_or_refused(arguments):
    with contextlib.suppress(UsageError):
        judge(*arguments, "11112", verbose=True)


@pytest.mark.parametrize(("arguments", "message"), [
    (["+tls", "key", "11112"], ("Missing parameter port\nhint: --enable-tls takes private key and certificate; "
     "'11112' was taken for the certificate of --enable-tls")),
    (["+tls", "key", "-od", "out", "11112"], ("Too many parameters\nhint: --enable-tls takes private key and "
     "certificate; '-od' was taken for the certificate of --enable-tls")),
    (["-tos", "11112"], "Missing parameter port\nhint: '11112' was taken for the seconds of --eostudy-timeout"),
    (["-v"], "Missing parameter port"), (["-od", "out"], "Missing parameter port"),
    (["1", "2"], "Too many parameters"), (["-ts", "5", "1", "2"], "Too many parameters"),
])
def test_value_that_was_meant_as_something_else(arguments, message, monkeypatch):
    monkeypatch.delenv("LISTEN_FDS", raising=False)
    assert refusal(*arguments).replace("timeout of", "seconds of") == message


def test_file_of_an_options_name_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-v").touch()
    judge("+tls", "key", "-v", "11112")
