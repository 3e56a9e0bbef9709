"""The Debian package in a bare Debian root: installed, run, written to, removed, purged, installed over an older one.

Needs root, the tools of scripts/test and a mirror of Debian. There is no systemd in the root: the service is run as its user by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import real_dicom_files
from tests.support.servers import free_port, wait_until

ROOT = Path(__file__).parent.parent.parent
TEMPLATE = ROOT / "scripts" / "debian"
DEBIAN = Path("/usr/bin/dpkg").exists() and os.geteuid() == 0
COMMANDS = set(re.findall(r"^ +(fastscp[\w-]*) = ", (ROOT / "setup.cfg").read_text(encoding="utf-8"), flags=re.MULTILINE))
#: mmdebstrap makes the same root with a third of the CPU
TOOLS = ("mmdebstrap", "debootstrap")
CHANGED = 'aetitle = "STORESCP"', 'aetitle = "GATEWAY"'

pytestmark = [pytest.mark.oracle, pytest.mark.timeout(900)]
needs_root = pytest.mark.skipif(not DEBIAN, reason="needs Debian and root")


def depends(control: str) -> list[str]:
    """Return the names of the packages of Debian that are needed."""
    (line,) = re.findall(r"^Depends: (.*)$", control, flags=re.MULTILINE)
    return [*(name.split()[0] for name in line.split(", ") if not name.startswith("@")), "libstdc++6"]  # @SHLIBS@, beyond what is essential


def root_maker(directory: Path) -> list[str]:
    """Return the command that makes a bare root with what the package needs."""
    tool = os.environ.get("FASTSCP_DEBOOTSTRAP") or next((name for name in TOOLS if shutil.which(name)), None)
    if tool is None:
        if os.environ.get("CI"):
            pytest.fail("in CI debootstrap or mmdebstrap must be there")
        pytest.skip("needs debootstrap or mmdebstrap (apt-get install mmdebstrap)")
    release = dict(line.split("=", 1) for line in Path("/etc/os-release").read_text(encoding="utf-8").splitlines() if "=" in line)
    variant = "minbase" if tool == "debootstrap" else "essential"
    return [tool, f"--variant={variant}", f"--include={','.join(depends((TEMPLATE / 'control').read_text(encoding='utf-8')))}",
            release["VERSION_CODENAME"], str(directory), mirror()]


def mirror() -> str:
    """Return the mirror of Debian that apt uses here."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in lists if path.is_file())
    found = re.search(r"https?://[\w./:-]+/debian/?(?=\s|$)", text)
    if found is None:
        pytest.skip("apt has no mirror of Debian here")
    return found[0]


@dataclass
class Debian:
    """A bare root, and the package that is to be installed there."""

    root: Path
    package: Path

    def __call__(self, *command: str, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in the root, with /proc."""
        done = subprocess.run(self.line(*command, user=user), capture_output=True, text=True, check=False, timeout=120)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def line(self, *command: str, user: str = "root") -> list[str]:
        """Return the command that runs one in the root; what it mounts goes with it."""
        place = shlex.quote(str(self.root))
        inner = f'mount --bind /proc {place}/proc && cd / && exec chroot --userspec={user}:{user} {place} "$@"'
        return ["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "DEBIAN_FRONTEND=noninteractive",
                "unshare", "--mount", "sh", "-c", inner, "sh", *command]

    def install(self, package: Path) -> subprocess.CompletedProcess[str]:
        """Install a package file, with the configuration files that are there."""
        shutil.copy(package, self.root / "tmp" / "package.deb")
        return self("dpkg", "--force-unsafe-io", "--force-confdef", "--force-confold", "-i", "/tmp/package.deb")

    def path(self, name: str) -> Path:
        """Return a path of the root as it is seen from outside."""
        return self.root / name.lstrip("/")

    def version(self) -> str:
        """Return the installed version, or nothing."""
        done = self("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Version}", "fastscp", check=False)
        return done.stdout.strip()


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Debian]:
    """Build the package, and make the root meanwhile."""
    directory = tmp_path_factory.mktemp("debian")
    making = subprocess.Popen(root_maker(directory / "root"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    built = subprocess.run([ROOT / "scripts" / "build-deb", "--fast", "--output", directory], capture_output=True, text=True, check=False,
                           env={**os.environ, "CFLAGS": "-O0"})  # the core takes long to be made fast
    said, _ = making.communicate()
    assert built.returncode == 0, built.stdout + built.stderr
    assert making.returncode == 0, said[-2000:]
    package = Path(built.stdout.strip())
    yield Debian(directory / "root", package)
    shutil.rmtree(directory / "root")


def older(package: Path, directory: Path) -> Path:
    """Return the package as an earlier version that had other configuration files, and brought less."""
    subprocess.run(["dpkg-deb", "-R", package, directory / "older"], check=True)
    for path in (directory / "older").glob("usr/lib/fastscp/lib/*/site-packages/*/"):
        if path.name != "fastscp":
            shutil.rmtree(path)
    (directory / "older/DEBIAN/md5sums").unlink()
    control = directory / "older" / "DEBIAN" / "control"
    control.write_text(re.sub(r"^Version: .*$", "Version: 3.9-1", control.read_text(encoding="utf-8"), flags=re.MULTILINE), encoding="utf-8")
    for name in ("etc/fastscp/fastscp.toml", "etc/logrotate.d/fastscp"):
        with (directory / "older" / name).open("a", encoding="utf-8") as file:
            file.write("\n# as it was\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", directory / "older", directory / "older.deb"],
                   check=True, capture_output=True)
    shutil.rmtree(directory / "older")
    return directory / "older.deb"


@contextlib.contextmanager
def service(debian: Debian) -> Iterator[tuple[int, Path]]:
    """Run the service as its user, on a port of its own, with the package's configuration; yield the port and its log."""
    port, log = free_port(), debian.root.parent / "log"
    with log.open("wb") as output:
        running = subprocess.Popen(debian.line("/usr/bin/fastscp", "--config", "/etc/fastscp/fastscp.toml", "--metrics", str(free_port()),
                                               str(port), user="fastscp"), stdout=output, stderr=output)
        try:
            wait_until(lambda: b"listening on" in log.read_bytes() or running.poll() is not None, "the service listens")
            assert running.poll() is None, log.read_text(encoding="utf-8")
            yield port, log
        finally:
            running.terminate()
            running.wait(60)


@needs_root
@pytest.mark.slow
def test_package_in_a_bare_root_from_installation_to_purge(debian: Debian, tmp_path: Path) -> None:
    """One test, in its order: a root costs more than all that is done in it."""
    # an older version, which was configured
    earlier = older(debian.package, tmp_path)
    debian.install(earlier)
    assert debian.version() == "ii  3.9-1"
    conffile = debian.path("/etc/fastscp/fastscp.toml")
    conffile.write_text(conffile.read_text(encoding="utf-8").replace(*CHANGED), encoding="utf-8")
    assert CHANGED[1] in conffile.read_text(encoding="utf-8")
    stale = next(debian.path("/usr/lib/fastscp/lib").rglob("fastscp/__pycache__")) / "gone.cpython-311.pyc"
    stale.write_bytes(b"")

    # the package over it: what was changed is kept, what was not is new
    debian.install(debian.package)
    assert debian.version().startswith("ii  4.")
    assert CHANGED[1] in conffile.read_text(encoding="utf-8")
    assert "as it was" not in debian.path("/etc/logrotate.d/fastscp").read_text(encoding="utf-8")
    assert not stale.exists()
    debian("dpkg-reconfigure", "fastscp")  # twice is as good as once
    check_what_is_there(debian)

    # the service, as its user, with a client outside
    file = next(path for path in real_dicom_files() if path.name == "CT_small.dcm")
    with service(debian) as (port, log):
        sent = subprocess.run(["dcmsend", "-aec", "GATEWAY", "127.0.0.1", str(port), file], capture_output=True, text=True, check=False,
                              timeout=60, env={**os.environ, "TCP_NODELAY": "1"})
        assert sent.returncode == 0, sent.stderr + log.read_text(encoding="utf-8")
    assert "stopped" in log.read_text(encoding="utf-8")
    (received,) = debian.path("/var/lib/fastscp/received").iterdir()
    assert (received.stat().st_uid, received.stat().st_gid) == owner(debian)

    # removed: what belongs to the user and the administrator is there
    debian("dpkg", "--remove", "fastscp")
    assert debian.version() == "rc  4.0.0-1"
    assert not debian.path("/usr/lib/fastscp").exists()
    assert not [name for name in COMMANDS if os.path.lexists(debian.path(f"/usr/bin/{name}"))]
    assert CHANGED[1] in conffile.read_text(encoding="utf-8")
    assert received.exists()

    # purged, with objects: they are kept, and who owns them
    said = debian("dpkg", "--purge", "fastscp").stderr
    assert "/var/lib/fastscp is kept" in said
    assert [path.name for path in received.parent.parent.iterdir()] == ["received"]
    assert received.exists()
    assert not debian.path("/etc/fastscp").exists()
    assert not debian.path("/etc/logrotate.d/fastscp").exists()
    assert not debian.path("/var/log/fastscp").exists()
    assert received.stat().st_uid == owner(debian)[0]

    # installed again, and purged without objects: nothing is left
    debian.install(earlier)
    assert CHANGED[0] in conffile.read_text(encoding="utf-8")
    assert received.exists()
    received.unlink()
    debian("dpkg", "--purge", "fastscp")
    assert debian.version() in {"", "un"}
    left = debian("find", "/", "-xdev", "(", "-path", "/proc", "-o", "-path", "/tmp", ")", "-prune", "-o", "-iname", "*fastscp*", "-print").stdout
    assert left.split() == []
    assert "fastscp" not in debian.path("/etc/passwd").read_text(encoding="utf-8")
    assert "fastscp" not in debian.path("/etc/group").read_text(encoding="utf-8")


def owner(debian: Debian) -> tuple[int, int]:
    """Return the ids of the package's user."""
    (entry,) = (line.split(":") for line in debian.path("/etc/passwd").read_text(encoding="utf-8").splitlines() if line.startswith("fastscp:"))
    assert entry[5:] == ["/var/lib/fastscp", "/usr/sbin/nologin"]
    return int(entry[2]), int(entry[3])


def check_what_is_there(debian: Debian) -> None:
    """Look at the installed package."""
    for name in ("/var/lib/fastscp", "/var/lib/fastscp/received", "/var/lib/fastscp/state", "/var/log/fastscp"):
        found = debian.path(name).stat()
        assert (found.st_uid, found.st_gid, oct(found.st_mode & 0o7777)) == (*owner(debian), "0o750"), name
    versions = debian("sh", "-c", " && ".join(f"/usr/bin/{name} --version" for name in sorted(COMMANDS)), user="fastscp").stdout
    for name in sorted(COMMANDS):
        assert f"$fastscp: {name} v4.0" in versions, name
        assert debian.path(f"/usr/share/man/man1/{name}.1.gz").exists(), name
    assert "Core: compiled" in versions
    assert debian("/usr/bin/fastscp", "--config", "/etc/fastscp/fastscp.toml", "--check-config", user="fastscp").returncode == 0
    assert not debian.path("/etc/systemd/system/multi-user.target.wants/fastscp.service").exists()
    assert debian("dpkg", "--verify", "fastscp").stdout.replace("??5?????? c /etc/fastscp/fastscp.toml", "").strip() == ""


@needs_root
@pytest.mark.slow
def test_lintian_has_nothing_to_say(debian: Debian) -> None:
    if shutil.which("lintian") is None:
        pytest.skip("needs lintian (apt-get install lintian)")
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error,warning", debian.package], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


@needs_root
@pytest.mark.slow
def test_package_holds_nothing_of_the_machine_that_built_it(debian: Debian, tmp_path: Path) -> None:
    subprocess.run(["dpkg-deb", "-x", debian.package, tmp_path], check=True)
    assert {path.name for path in (tmp_path / "usr/bin").iterdir()} == COMMANDS
    places = [str(ROOT).encode(), str(debian.package.parent).encode(), b"/tmp/tmp."]
    for path in tmp_path.rglob("*"):
        if path.is_file() and not path.is_symlink() and "site-packages" not in path.parts:
            assert not [place for place in places if place in path.read_bytes()], path
    assert not list(tmp_path.rglob("__pycache__"))
    assert not list(tmp_path.rglob("direct_url.json"))
    unit = (tmp_path / "lib/systemd/system/fastscp.service").read_text(encoding="utf-8")
    assert "\nExecStart=/usr/bin/fastscp --config /etc/fastscp/fastscp.toml\n" in unit
    assert "\nUser=fastscp\nGroup=fastscp\n" in unit
    assert "\nDynamicUser" not in unit
    assert "/usr/local" not in unit


@pytest.mark.parametrize("name", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_are_right_for_a_plain_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n", TEMPLATE / name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "set -e" in (TEMPLATE / name).read_text(encoding="utf-8").splitlines()


def test_no_maintainer_script_touches_what_was_received() -> None:
    removed = re.findall(r"rm -r?f (.*)", (TEMPLATE / "postrm").read_text(encoding="utf-8"))
    assert sorted(" ".join(removed).split()) == [
        "/etc/systemd/system/multi-user.target.wants/fastscp.service", "/etc/systemd/system/sockets.target.wants/fastscp.socket",
        "/var/lib/fastscp/state", "/var/log/fastscp"]


def test_every_configuration_file_is_one_for_dpkg() -> None:
    script = (ROOT / "scripts" / "build-deb").read_text(encoding="utf-8")
    installed = set(re.findall(r'"\$package(/etc/[\w./]+)"', script))
    assert set((TEMPLATE / "conffiles").read_text(encoding="utf-8").split()) == installed
