"""Command lines judged by fastscp and by the real storescp: same exit status, same refusals, same order of checks.

A command line that is accepted gets as far as the output directory, which does not exist: both then end with the
same fatal message. So nothing ever listens.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from fastscp.cli.option import Kind, Option, Origin
from fastscp.cli.options import OPTIONS
from tests.support.oracle import REFERENCE, installed_version

pytestmark = [
    pytest.mark.oracle,
    pytest.mark.skipif(shutil.which("storescp") is None, reason="DCMTK's storescp is not installed"),
]

#: Runs many command lines in children of one process that has everything imported. stdin: JSON list of argument
#: lists; stdout: JSON list of [exit status, stderr].
RUNNER = """
import importlib, json, os, pkgutil, sys, tempfile
import fastscp
for module in pkgutil.walk_packages(fastscp.__path__, "fastscp."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from fastscp.cli import main
answers = []
for arguments in json.load(sys.stdin):
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            os.dup2(errors.fileno(), 2)
            if sys.argv[1:]:
                os.setgroups([])
                os.setgid(int(sys.argv[1]))
                os.setuid(int(sys.argv[1]))
            status = main.main(["fastscp", *arguments])
            sys.stderr.flush()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        answers.append([status, errors.read().decode()])
json.dump(answers, sys.stdout)
"""


def storescp(arguments, **options):
    run = subprocess.run(["storescp", *arguments], capture_output=True, text=True, timeout=30,
                         stdin=subprocess.DEVNULL, check=False, **options)
    return run.returncode, run.stderr


def fastscp(lines, *user):
    run = subprocess.run([sys.executable, "-c", RUNNER, *map(str, user)], input=json.dumps(lines), capture_output=True, text=True,
                         timeout=3600, check=True)
    return [tuple(answer) for answer in json.loads(run.stdout)]


def verdict(answer):
    """Exit status and what was complained about.

    For storescp a negative number is out of range in either direction or no number at all, depending on the option;
    that is not compared.
    """
    status, stderr = answer
    # ours lets --verbose go with --log-config
    stderr = stderr.replace("--log-config not allowed with --verbose, ", "--log-config not allowed with ")
    complaints = [line for line in stderr.splitlines() if line.startswith(("error: ", "F: "))]
    return status, re.sub(r" ?(under|over)flow:? ?", "", (complaints or [""])[0]).replace("()", "").rstrip()


def compare(lines, tmp_path):
    """Judge every line by both; the output directory comes first so that a line can replace it."""
    nowhere = ["-od", str(tmp_path / "nowhere")]
    lines = [[*nowhere, *line] for line in lines]
    different = [
        (shlex.join(line), theirs, ours)
        for line, ours in zip(lines, map(verdict, fastscp(lines)), strict=True)
        if (theirs := verdict(storescp(line))) != ours
    ]
    assert different == []


PORT = "11112"

ACCEPTED = """
11112
11112 -v
-v 11112 -d
-d -q -v 11112
--fork 11112
--single-process --fork 11112
--fork --single-process -xcs x -sp 11112
-ll INFO 11112
-ll Info +v 11112
-v +v 11112
-d +v 11112
-ll trace 11112
-q 11112
-ll error 11112
-pdu 4096 11112
-pdu 131072 11112
-pdu 4096 -pdu 16384 11112
-pdu 1 -pdu 16384 11112
-ta 1 -td 1 11112
-ta +5 11112
-ta 010 11112
-ta " 5" 11112
-ts 0 11112
-ts -1 11112
-tos 0 -sp 11112
-tos 5 -su "" 11112
-tos 5 -sp -rns -xcs x 11112
--sleep-after 0 --sleep-during 0 11112
--abort-after --abort-during --refuse --reject --ignore 11112
-aet "" 11112
-aet 1234567890123456 11112
-aet -v 11112
-aet --no-such-option 11112
-aet +5 11112
-fe "" 11112
-fe -d 11112
-su "" 11112
-su "" -sp 11112
-ss -5 11112
-ss a -su b -sp 11112
-xcr "" 11112
-xcr "cmd '#f' \\"#p\\"" 11112
+xa +x= +te 11112
+xs +xe +tb 11112
+xd +te 11112
-F +F +p 4 4 11112
+p 4 4 11112
+p -1 0 -p 11112
+p 0 0 11112
+te +tb +ti +td 11112
+td +cl 9 11112
+cl 0 11112
+te +t= +cl 3 11112
+B +te +t= 11112
+B 11112
+B -F -uf -p +t= 11112
+B -B +te 11112
-sp +B -B 11112
-uc +uc 11112
+uf -uf -tn 11112
-tn -uf 11112
-tn -fe .dcm 11112
-pm -up -dhl -ac 11112
+tls key cert 11112
+tls key cert +cf a +cf b +cd c +crl d +crv 11112
+tls key cert +crl d +cra 11112
+tls key cert +rs f +ws 11112
+tls key cert +rs f +ws +wf g 11112
+tls key cert +ps +pw secret -pw -pem -der -rc -vc -ic 11112
+tls key cert +pa +dp f 11112
+tls key cert +pz +px +cs TLS_RSA_WITH_AES_128_CBC_SHA 11112
-tls 11112
65535
1024
+1024
"""

REFUSED = """
-v
-q
""
"" 11112
-5
-
+
--
+e11112
++ 11112
@
11112 @
11112 11113
0
-q 0
65536
99999
99999 +v
-ll error 99999
abc
--foo
-q --foo
--help=1
--version=1
--log-level=debug 11112
--verb 11112
--AETITLE x 11112
-AET x 11112
-vd 11112
-aet 11112
-td
11112 -td
-xf a 11112
11112 -xf a
+tls key 11112
11112 +p 4
-ll foo 11112
-ll "" 11112
-ll 3 11112
-ll warn -v 11112
-v -ll warn 11112
-q -ll warn 11112
-d -lc x 11112
-lc /nonexistent/file 11112
-lc x -ll warn 11112
+v 11112
+v -ll warn 11112
-v -q +v 11112
-ta abc 11112
-ta "" 11112
-ta 0 11112
-ta -1 11112
-td 0 11112
-td x 11112
-pdu 4095 11112
-pdu 131073 11112
-pdu -1 11112
-pdu 16384 -pdu 1 11112
-ts x 11112
-ts -2 11112
-ts --2 11112
11112 +tls key
-tos 5 11112
-tos -1 -sp 11112
-tos x -sp 11112
-xcs x 11112
-rns 11112
-rns -tos 5 11112
+cl 10 11112
+cl -1 11112
+cl 5 +te 11112
+te +cl 5 11112
+p x 0 11112
+p 0 x 11112
-F +p 4 4 11112
+p 4 4 +F -F 11112
+B -u 11112
+B +u 11112
+B +g= 11112
+B -g 11112
+B +e 11112
-e +B 11112
+B +p 4 4 11112
+B -ss x 11112
+B -su "" 11112
-sp +B 11112
+B +te 11112
+xa +te 11112
+xs +td 11112
+xr +ti 11112
+xx +tb 11112
+x4 +te 11112
-tn +uf 11112
+uf -tn 11112
-uf +uf -tn 11112
-xf f p -pm 11112
-xf f p +xe 11112
+xa -xf f p 11112
-xf f p +xd 11112
-xf f p +xi 11112
+cf x 11112
+tls k c -tls +cf x 11112
+pw x 11112
-der 11112
-ic 11112
+cs x 11112
+pn 11112
+tls k c +ws 11112
+tls k c +wf f 11112
+tls k c +pz +cs TLS_RSA_WITH_AES_128_CBC_SHA 11112
+ws 11112
-id a b
"""


#: What the reference refuses and newer versions take, as ours does.
ACCEPTED_SINCE = """
+tls k c +crv +cra 11112
"""


def lines_of(table):
    return [shlex.split(line) for line in table.strip().splitlines()]


def test_accepted_command_lines(tmp_path):
    compare(lines_of(ACCEPTED), tmp_path)


def test_command_lines_that_newer_versions_accept(tmp_path):
    newer = lines_of(ACCEPTED_SINCE)
    if installed_version() == REFERENCE:
        nowhere = str(tmp_path / "nowhere")
        for status, stderr in fastscp([["-od", nowhere, *line] for line in newer]):
            assert (status, stderr.splitlines()[-1]) == (1, "F: specified output directory does not exist")
    else:
        compare(newer, tmp_path)


def test_refused_command_lines(tmp_path):
    compare(lines_of(REFUSED), tmp_path)


SAMPLES = {
    Kind.INTEGER: "5", Kind.STRING: "text", Kind.FILE: "file", Kind.DIRECTORY: "directory", Kind.COMMAND: "true",
    Kind.CHOICE: "info",
}


def written(option: Option):
    if option.long == "--max-pdu":
        return [option.long, "16384"]
    if option.long == "--cipher":
        return [option.long, "TLS_RSA_WITH_AES_128_CBC_SHA"]
    if option.long == "--output-directory":
        return [option.long, "/nonexistent/directory"]
    if option.long == "--config-file":
        return [option.long, "/etc/dcmtk/storescp.cfg", "Default"]
    return [option.long, *(SAMPLES[argument.kind] for argument in option.arguments)]


def known_to_oracle():
    """Options that the installed storescp has too."""
    text = subprocess.run(["storescp", "--help"], capture_output=True, text=True, check=True).stdout
    flags = set(text.split())
    return [
        option for option in OPTIONS
        if option.long in flags and not option.ends and option.origin is not Origin.OWN
        and option.long not in ("--inetd", "--arguments", "--log-config")
    ]


def test_every_option_alone(tmp_path):
    # 3.6.7 names the wrong option in this one message
    compare([[*written(option), PORT] for option in known_to_oracle() if option.long != "--profile-aes"], tmp_path)


def lifted(first, second):
    """``--fork`` goes with end-of-study options here, ``--verbose`` with ``--log-config`` (docs/deviations.md)."""
    if {first.long, second.long} == {"--verbose", "--log-config"}:
        return True
    return "--fork" in (first.long, second.long) and {first.long, second.long} & {
        "--exec-on-eostudy", "--rename-on-eostudy"}


def both(first, second):
    """Which of two complaints comes first is not compared: give both options what they depend on."""
    line = [*written(first), *written(second)]
    if first.tls or second.tls:
        line += ["--enable-tls", "key", "certificate"]
    if "write-seed" in (first.exclusive, second.exclusive):
        line += ["--seed", "file"]
    if {first.long, second.long} & {"--exec-on-eostudy", "--rename-on-eostudy", "--eostudy-timeout"} and not (
        {first.exclusive, second.exclusive} & {"sorting"}
    ):
        line = ["--sort-on-patientname", *line]
    if "--verbose-pc" in (first.long, second.long):
        line = ["--log-level", "info", *line]
    return [*line, PORT]


#: One pair in so many is compared in a normal run; all of them with FASTSCP_ALL_PAIRS in the environment.
STRIDE = 1 if "FASTSCP_ALL_PAIRS" in os.environ else 37


@pytest.mark.timeout(3600)
def test_pairs_of_options(tmp_path):
    options = known_to_oracle()
    pairs = [(first, second) for first in options for second in options
             if first is not second and not lifted(first, second)]
    compare([both(*pair) for pair in pairs[::STRIDE]], tmp_path)


def test_hooks_at_the_end_of_a_study_go_with_fork(tmp_path):
    line = ["--fork", "-sp", "-rns", "-xcs", "true", "-tos", "5", "-od", str(tmp_path / "nowhere"), PORT]
    (status, stderr), = fastscp([line])
    assert (status, stderr) == (1, "F: specified output directory does not exist\n")
    assert verdict(storescp(line)) == (1, "error: --exec-on-eostudy not allowed with --fork")


WORDS = [
    "'a b'", '"a b"', "a'b c'", "''", '""', "\"a 'b' c\"", "'a \"b\" c'", '"a\nb"', '"a  b"', "'abc", "x'abc", '"abc',
    "'\"'", "'a\"b c", "a#b", "a'", 'a" b', "x''", "'@x'", "@x", "a\\", "\t'a'\r\n", "\"'a b'\"", "'a'b", "'a''b'",
    "a\\ b", '"a"b"c"', "''x", "'", '"', "# x", "é", "-v", "11112 -v", "-aet 'MY AE' -v 11112", "",
]


@pytest.fixture(scope="module")
def command_files(tmp_path_factory):
    directory = tmp_path_factory.mktemp("commands")
    names = []
    for number, words in enumerate(WORDS):
        file = directory / f"{number}.cmd"
        file.write_text(words, newline="")
        names.append(str(file))
    return names


def expansion(stderr):
    """What ``--arguments`` showed, without the program's name."""
    return [line.split(" with ", 1)[-1] for line in stderr.splitlines() if line.startswith("I: ")]


def test_command_files_and_arguments(command_files, tmp_path):
    nowhere = str(tmp_path / "nowhere")
    lines = [["--arguments", "-od", nowhere, *tail] for name in command_files
             for tail in (["-fe", f"@{name}", "11112"], ["-xcr", "first", f"@{name}", "11112"], [f"@{name}"])]
    for line, ours in zip(lines, fastscp(lines), strict=True):
        theirs = storescp(line)
        assert (line, *verdict(ours), expansion(ours[1])) == (line, *verdict(theirs), expansion(theirs[1]))


def test_arguments_are_shown_whatever_the_level(tmp_path):
    nowhere = str(tmp_path / "nowhere")
    lines = [[*level, "--arguments", "-od", nowhere, "-fe", "", "11112", "-aet", "A B"]
             for level in ([], ["-q"], ["-v"], ["-ll", "error"])]
    for line, ours in zip(lines, fastscp(lines), strict=True):
        assert expansion(ours[1]) == expansion(storescp(line)[1]) != []


def test_missing_command_file(tmp_path):
    compare([["@/nonexistent/file", "11112"]], tmp_path)


def test_inetd_refusals_have_the_same_exit_status(tmp_path):
    lines = [["-id", *rest] for rest in (["--fork"], ["-xcs", "x", "-sp"], ["-rns", "-sp"], ["-od", "/nonexistent"])]
    for line, ours in zip(lines, fastscp(lines), strict=True):
        assert (line, ours[0]) == (line, storescp(line)[0]) == (line, 1)


def test_no_arguments_is_help():
    theirs = subprocess.run(["storescp"], capture_output=True, text=True, check=False)
    ours = subprocess.run([sys.executable, "-m", "fastscp"], capture_output=True, text=True, check=False)
    assert (ours.returncode, ours.stderr) == (theirs.returncode, theirs.stderr) == (0, "")
    assert "usage: fastscp [options] [port]\n\nparameters:\n" in ours.stdout
    assert "usage: storescp [options] [port]\n\nparameters:\n" in theirs.stdout


#: Lines of storescp's help that ours words differently on purpose.
REWORDED = (
    "storescp", "--single-process", "--fork ", "fork child", "[p]assword: string", "BCP195", "BCP 195", "bcp195",
    "(retired", "AES TLS", "Authenticated",
)


def helps():
    """Return the lines of both helps: storescp's, ours."""
    return [subprocess.run([*command, "--help"], capture_output=True, text=True, check=True).stdout.splitlines()
            for command in (["storescp"], [sys.executable, "-m", "fastscp"])]


@pytest.mark.skipif(installed_version() != REFERENCE, reason=f"the words are those of version {REFERENCE}")
def test_help_has_every_line_of_storescps_help():
    theirs, ours = helps()
    present = set(ours)
    missing = [line for line in theirs if line not in present and not any(word in line for word in REWORDED)]
    assert missing == []


def test_help_has_every_option_of_storescps_help():
    def options(lines):
        return {spelling for line in lines for spelling in re.findall(r"^ +([-+]\w+|)(?: +(--[a-z0-9-]+))", line)}

    theirs, ours = map(options, helps())
    assert len(theirs) > 80
    assert theirs - ours == set()


#: Somebody who is not root, for what root may do anyway; nobody of Debian.
NOBODY = 65534


def test_unwritable_output_directory_and_privileged_port():
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o555)
        lines = [["-od", directory, PORT]]
        if Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text().strip() == "1024":
            lines.append(["-od", "/", "104"])
        ours = fastscp(lines, *[NOBODY] * root)
        somebody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if root else {}
        theirs = [storescp(line, **somebody) for line in lines]
    assert ours == theirs
    assert ours[0] == (1, "F: specified output directory is not writeable\n")


@pytest.mark.parametrize("profile", [["/nonexistent/file", "Default"], ["/etc/dcmtk/storescp.cfg", "no such profile"],
                                     ["/etc/hosts", "Default"]])
def test_unusable_association_profile(profile, tmp_path):
    """The reason is told in other words; file errors come before those of the output directory."""
    line = ["-xf", *profile, "-od", str(tmp_path / "nowhere"), PORT]
    (ours,) = fastscp([line])
    theirs = storescp(line)
    assert [(status, stderr.split(":")[:2]) for status, stderr in (ours, theirs)] == [
        (1, theirs[1].split(":")[:2])] * 2
    assert "directory does not exist" not in ours[1]
