"""The source distribution holds everything the README speaks of, and the wheel made from it everything that runs."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from fastscp import __version__
from tests.test_documents import dead_links

ROOT = Path(__file__).parent.parent
#: of the checkout, what is no source
NO_SOURCE = shutil.ignore_patterns(".git", ".venv*", "*.egg-info", "build", "dist", "received", "__pycache__", ".*_cache",
                                   ".hypothesis", "_core.c", "*.so")
DATA = f"fastscp-{__version__}.data/data/share"


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Build a source distribution from a copy of the tree, and a wheel from the source distribution."""
    directory = tmp_path_factory.mktemp("package")
    shutil.copytree(ROOT, directory / "tree", ignore=NO_SOURCE)
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(directory / "tree")],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return directory


@pytest.fixture(scope="module")
def unpacked(distributions: Path) -> Path:
    with tarfile.open(distributions / f"fastscp-{__version__}.tar.gz") as archive:
        # the default of Python 3.14 and later; the first releases of 3.10 and 3.11 do not have it
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
        archive.extractall(distributions)
    return distributions / f"fastscp-{__version__}"


@pytest.fixture(scope="module")
def wheel(distributions: Path) -> Iterator[zipfile.ZipFile]:
    (found,) = distributions.glob(f"fastscp-{__version__}-*.whl")
    with zipfile.ZipFile(found) as archive:
        yield archive


def sources(tree: Path, *patterns: str) -> set[str]:
    return {str(path.relative_to(tree)) for pattern in patterns for path in tree.glob(pattern)
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in {".so", ".c"}}


@pytest.mark.parametrize("part", ["docs", "fastscp", "perf", "scripts", "tests"])
def test_sdist_holds_the_whole_tree(unpacked: Path, part: str) -> None:
    assert sources(unpacked, f"{part}/**/*") == sources(ROOT, f"{part}/**/*")


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "MANIFEST.in", "pyproject.toml"])
def test_sdist_holds_what_stands_beside_it(unpacked: Path, name: str) -> None:
    assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


def test_links_lead_somewhere_in_the_sdist(unpacked: Path) -> None:
    documents = [*unpacked.glob("*.md"), *(unpacked / "docs").rglob("*.md")]
    assert len(documents) > 10
    assert {str(path): dead_links(path) for path in documents if dead_links(path)} == {}


def test_scripts_of_the_sdist_can_be_run(unpacked: Path) -> None:
    assert all((unpacked / "scripts" / name).stat().st_mode & stat.S_IXUSR for name in ("check", "generate-docs", "serve", "test"))


def test_wheel_holds_the_package_and_nothing_else_of_the_tree(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if not name.startswith(f"fastscp-{__version__}.")}
    compiled = {name for name in names if re.fullmatch(r"fastscp/_core\.[\w-]+\.so", name)}  # where there is a compiler
    assert names - compiled == sources(ROOT, "fastscp/**/*.py", "fastscp/py.typed", "fastscp/_core.pyi", "fastscp/data/*", "fastscp/monitor/page.html")


def test_wheel_installs_manual_pages_and_completions(wheel: zipfile.ZipFile) -> None:
    installed = {name.removeprefix(f"{DATA}/"): name for name in wheel.namelist() if name.startswith(DATA)}
    assert set(installed) == {
        *(f"man/man1/{name}.1" for name in ("fastscp", "fastscp-conv", "fastscp-ingest", "fastscp-studies", "fastscp-top")),
        *(f"bash-completion/completions/{name}" for name in ("fastscp", "fastscp-ingest", "fastscp-studies", "fastscp-top")),
        *(f"zsh/site-functions/_{name}" for name in ("fastscp", "fastscp-ingest", "fastscp-studies", "fastscp-top"))}
    assert wheel.read(installed["man/man1/fastscp-conv.1"]) == (ROOT / "docs" / "fastscp-conv.1").read_bytes()


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"fastscp-{__version__}.dist-info/METADATA"))


def test_metadata(metadata: Message, wheel: zipfile.ZipFile) -> None:
    assert (metadata["Author"], metadata["Requires-Python"]) == ("The fastscp authors", ">=3.10")
    assert "MIT" in {metadata["License"], metadata["License-Expression"]}
    assert any(name.endswith("LICENSE") for name in wheel.namelist())
    links = dict(value.split(", ", 1) for value in metadata.get_all("Project-URL", []))
    assert {"Source", "Documentation", "Changelog"} <= set(links)
    assert metadata["Home-page"] or links["Homepage"]


def test_pydicom_is_limited_to_versions_whose_tables_are_known(metadata: Message) -> None:
    required, = (value for value in metadata.get_all("Requires-Dist", []) if value.startswith("pydicom"))
    assert ">=3.0" in required
    assert "<3.1" in required
