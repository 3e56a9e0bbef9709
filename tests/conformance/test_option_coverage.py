"""Every option of storescp and every option of fastscp is in the help, the manual page and docs, and has a test.

The list is written out here so that an option that gets lost in the table is missed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fastscp.cli.help import usage
from fastscp.cli.option import Origin
from fastscp.cli.options import OPTIONS

ROOT = Path(__file__).parents[2]

#: Of the manual of storescp 3.6.1: short flag (or nothing) and long flag.
MANUAL = """
-h --help | --version | --arguments | -q --quiet | -v --verbose | -d --debug | -ll --log-level | -lc --log-config
+v --verbose-pc | --single-process | --fork | -xf --config-file
+x= --prefer-uncompr | +xe --prefer-little | +xb --prefer-big | +xs --prefer-lossless | +xy --prefer-jpeg8
+xx --prefer-jpeg12 | +xv --prefer-j2k-lossless | +xw --prefer-j2k-lossy | +xt --prefer-jls-lossless
+xu --prefer-jls-lossy | +xm --prefer-mpeg2 | +xh --prefer-mpeg2-high | +xn --prefer-mpeg4 | +xl --prefer-mpeg4-bd
+xr --prefer-rle | +xd --prefer-deflated | +xi --implicit | +xa --accept-all
-ac --access-full | +ac --access-control | -id --inetd | -ta --acse-timeout | -td --dimse-timeout | -aet --aetitle
-pdu --max-pdu | -dhl --disable-host-lookup | --refuse | --reject | --ignore | --sleep-after | --sleep-during
--abort-after | --abort-during | -pm --promiscuous | -up --uid-padding
-tls --disable-tls | +tls --enable-tls | +ps --std-passwd | +pw --use-passwd | -pw --null-passwd | -pem --pem-keys
-der --der-keys | +cf --add-cert-file | +cd --add-cert-dir | +cs --cipher | +dp --dhparam | +rs --seed
+ws --write-seed | +wf --write-seed-file | -rc --require-peer-cert | -vc --verify-peer-cert | -ic --ignore-peer-cert
-od --output-directory | -B --normal | +B --bit-preserving | +F --write-file | -F --write-dataset
+t= --write-xfer-same | +te --write-xfer-little | +tb --write-xfer-big | +ti --write-xfer-implicit
+td --write-xfer-deflated | +u --enable-new-vr | -u --disable-new-vr | +g= --group-length-recalc
+g --group-length-create | -g --group-length-remove | +e --length-explicit | -e --length-undefined | -p --padding-off
+p --padding-create | +cl --compression-level | -ss --sort-conc-studies | -su --sort-on-study-uid
-sp --sort-on-patientname | -uf --default-filenames | +uf --unique-filenames | -tn --timenames
-fe --filename-extension | -xcr --exec-on-reception | -xcs --exec-on-eostudy | -rns --rename-on-eostudy
-tos --eostudy-timeout | -xs --exec-sync
"""

#: Of storescp 3.6.2 to 3.7.0.
NEWER = """
--max-associations | -i4 --ipv4 | -i6 --ipv6 | -i0 --ip-auto | +x2 --prefer-mpeg4-2-2d | +x3 --prefer-mpeg4-2-3d
+xo --prefer-mpeg4-2-st | +x4 --prefer-hevc | +x5 --prefer-hevc10 | -ts --socket-timeout | +crl --add-crl-file
+crv --enable-crl-vfy | +cra --enable-crl-all | +ph --list-profiles | +pg --profile-8996 | +pm --profile-8996-mod
+py --profile-bcp195-nd | +px --profile-bcp195 | +pz --profile-bcp195-ex | +pb --profile-basic | +pa --profile-aes
+pn --profile-null | +cc --list-ciphers | --no-sni | --expect-sni | -uc --retain-un | +uc --convert-un
"""

#: fastscp's own.
OWN = """
--workers | --drain-timeout | --hang-timeout | --max-associations-per-host | --max-associations-per-aet
--association-timeout | --object-timeout | --umask | --user | --hosts-allow | --hosts-deny | --on-late | --study-max-age
--study-manifest | --state-dir | --transliterate-names | --private-dictionary | --quarantine | --on-duplicate | --exec-on-eoseries
--exec-argv | --hook-jobs | --hook-timeout | --event-log | --event-digest | --log-json | --completed-directory
--config | --require-called-aet | --check-config | --print-config
--hook-retries | --max-waiting-hooks | --max-object-size | --max-inflated-size | --min-free | --sync | --proxy-protocol | --metrics | --otlp
--storage-commitment | --commitment-peer | --commitment-wait | --commitment-retry-pause | --commitment-give-up
--state | --gateway-timeout | --object-store | --object-store-endpoint | --keep-local
"""


def options(table):
    """Return the flags of every option of ``table``, short one first."""
    return [tuple(entry.split()) for line in table.strip().splitlines() for entry in line.split("|")]


LISTED = {Origin.MANUAL: options(MANUAL), Origin.NEWER: options(NEWER), Origin.OWN: options(OWN)}
EVERY = [flags for listed in LISTED.values() for flags in listed]
identify = pytest.mark.parametrize("flags", EVERY, ids=lambda flags: flags[-1])


def words(text):
    """Return what stands between blanks, quotation marks and brackets."""
    for separator in "\"'`|,()[]{}=":
        text = text.replace(separator, " ")
    return set(text.split())


def test_list_is_complete():
    assert len(EVERY) == len({flag for flags in EVERY for flag in flags if flag.startswith("--")})
    assert len(LISTED[Origin.MANUAL]) == 96
    assert len(LISTED[Origin.NEWER]) == 27


@pytest.mark.parametrize("origin", Origin)
def test_table_has_exactly_the_listed_options(origin):
    assert {option.flags for option in OPTIONS if option.origin is origin} == set(LISTED[origin])


@identify
def test_help(flags):
    lines = [line.split() for line in usage().splitlines()]
    assert any(tuple(line[: len(flags)]) == flags for line in lines)


@identify
def test_manual_page(flags):
    page = (ROOT / "docs" / "fastscp.1").read_text(encoding="utf-8")
    entry = ", ".join(f"\\fB{flag}\\fR" for flag in flags).replace("-", "\\-")
    assert any(line == entry or line.startswith(f"{entry} ") for line in page.splitlines())


@identify
def test_documentation(flags):
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    entry = " ".join(f"`{flag}`" for flag in flags)
    assert f"\n| {entry} |" in page


@pytest.mark.parametrize("name", ["bash/fastscp", "zsh/_fastscp"])
def test_completion(name):
    text = (ROOT / "docs" / "completion" / name).read_text(encoding="utf-8")
    assert [flag for flags in EVERY for flag in flags if flag not in words(text) and f"{flag}[" not in text
            and f" {flag} " not in text] == []


@pytest.fixture(scope="module")
def words_of_tests():
    """Every word of every test that runs something: not of this one, nor of those of the command line alone."""
    found = set()
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__) and path.name != "test_command_line.py" and "cli" not in path.parts:
            text = path.read_text(encoding="utf-8")
            found |= words(text) | set(text.replace('"', " ").replace("'", " ").split())
    return found


@identify
def test_some_test_uses_it(flags, words_of_tests):
    assert set(flags) & words_of_tests


def test_generated_files_are_current():
    done = subprocess.run([sys.executable, str(ROOT / "scripts" / "generate-docs"), "--check"], capture_output=True,
                          text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
