"""The source distribution holds everything the README speaks of, and the wheel made from it everything that runs."""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from fastscp import __version__
from tests.test_documents import dead_links

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest needs it there, too

ROOT = Path(__file__).parent.parent
#: of the checkout, what is no source
NO_SOURCE = shutil.ignore_patterns(".git", ".venv*", "*.egg-info", "build", "dist", "received", "__pycache__", ".*_cache",
                                   ".hypothesis", "_core.c", "*.so")
CIBUILDWHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["cibuildwheel"]
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


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "Containerfile", ".containerignore", "MANIFEST.in", "pyproject.toml"])
def test_sdist_holds_what_stands_beside_it(unpacked: Path, name: str) -> None:
    assert (unpacked / name).read_bytes() == (ROOT / name).read_bytes()


def test_links_lead_somewhere_in_the_sdist(unpacked: Path) -> None:
    documents = [*unpacked.glob("*.md"), *(unpacked / "docs").rglob("*.md")]
    assert len(documents) > 10
    assert {str(path): dead_links(path) for path in documents if dead_links(path)} == {}


def test_scripts_of_the_sdist_can_be_run(unpacked: Path) -> None:
    assert all((unpacked / "scripts" / name).stat().st_mode & stat.S_IXUSR for name in ("build-deb", "check", "generate-docs", "serve", "test"))
    assert (unpacked / "scripts" / "debian" / "postinst").stat().st_mode & stat.S_IXUSR


def test_wheel_holds_the_package_and_nothing_else_of_the_tree(wheel: zipfile.ZipFile) -> None:
    names = {name for name in wheel.namelist() if not name.startswith(f"fastscp-{__version__}.")}
    compiled = {name for name in names if re.fullmatch(r"fastscp/_core\.[\w-]+\.so", name)}  # where there is a compiler
    assert names - compiled == sources(ROOT, "fastscp/**/*.py", "fastscp/py.typed", "fastscp/__init__.pyi", "fastscp/_core.pyi", "fastscp/data/*", "fastscp/monitor/page.html")


def test_wheel_installs_manual_pages_completions_units_and_examples(wheel: zipfile.ZipFile) -> None:
    installed = {name.removeprefix(f"{DATA}/"): name for name in wheel.namelist() if name.startswith(DATA)}
    assert set(installed) == {
        *(f"man/man1/{name}.1" for name in ("fastscp", "fastscp-blast", "fastscp-conv", "fastscp-events", "fastscp-index", "fastscp-ingest", "fastscp-relay", "fastscp-studies", "fastscp-top")),
        *(f"bash-completion/completions/{name}" for name in ("fastscp", "fastscp-blast", "fastscp-events", "fastscp-index", "fastscp-ingest", "fastscp-relay", "fastscp-studies", "fastscp-top")),
        *(f"zsh/site-functions/_{name}" for name in ("fastscp", "fastscp-blast", "fastscp-events", "fastscp-index", "fastscp-ingest", "fastscp-relay", "fastscp-studies", "fastscp-top")),
        *(f"doc/fastscp/{name}" for name in sources(ROOT / "docs", "examples/**/*"))}
    assert wheel.read(installed["man/man1/fastscp-conv.1"]) == (ROOT / "docs" / "fastscp-conv.1").read_bytes()


@pytest.mark.slow
def test_wheel_of_the_tree_is_the_wheel_of_the_source_distribution(distributions: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    """What the source distribution left out would be missing in one of them."""
    tree = tmp_path / "tree"
    shutil.copytree(ROOT, tree, ignore=NO_SOURCE)
    for path in tree.joinpath("fastscp").glob("_*.p[yx][xi]"):  # the core takes long, and is compared by test_wheel_holds_...
        assert path.read_bytes() == (distributions / f"fastscp-{__version__}" / "fastscp" / path.name).read_bytes()
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(tmp_path), str(tree)],
                          capture_output=True, text=True, check=False, env={**os.environ, "CC": "/bin/false"})
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(found) as other:
        assert contents(other) == contents(wheel)


def contents(wheel: zipfile.ZipFile) -> dict[str, bytes]:
    """Return what is installed, but for the core, which may be there or not, and what names it."""
    return {name: wheel.read(name) for name in wheel.namelist() if not name.endswith((".so", "/RECORD", "/WHEEL"))}


@pytest.mark.slow
def test_wheel_works_in_an_environment_of_its_own_with_its_core(distributions: Path, tmp_path: Path) -> None:
    """What cibuildwheel does with each wheel: install it, copy the test sources beside it, run the commands there."""
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler: the core is left out")
    (found,) = distributions.glob(f"fastscp-{__version__}-*.whl")
    assert not found.name.endswith("-any.whl"), "the core was not built"
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_path("purelib"), "PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
    for line in ([sys.executable, "-m", "venv", tmp_path / "venv"],
                 [tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", found]):
        subprocess.run(line, check=True)
    place = tmp_path / "sources"
    place.mkdir()
    for name in CIBUILDWHEEL["test-sources"]:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=NO_SOURCE)
        else:
            shutil.copy(ROOT / name, place / name)
    says_compiled, runs_tests = CIBUILDWHEEL["test-command"]
    where = subprocess.run(["python", "-c", "import fastscp._core; print(fastscp._core.__file__)"], capture_output=True, text=True,
                           check=True, cwd=place, env=environment)
    assert where.stdout.startswith(f"{tmp_path}/venv/"), "not that of the checkout"
    for command in (says_compiled, runs_tests.partition("tests/unit/dicom")[0]):  # the rest is run with every other test
        done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False, cwd=place, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr


def test_wheels_are_built_for_every_python_that_is_supported_on_both_machines() -> None:
    """As far as that can be told without building one."""
    lowest, *supported = re.findall(r"Python :: (3\.\d+)$", (ROOT / "setup.cfg").read_text(encoding="utf-8"), flags=re.MULTILINE)
    wanted = {f"cp{version.replace('.', '')}-*" for version in (lowest, *supported)}
    assert set(CIBUILDWHEEL["build"].split()) == wanted
    assert len(wanted) == 4
    assert set(CIBUILDWHEEL["linux"]["archs"]) == {"x86_64", "aarch64"}
    assert {f"{libc}-{machine}-image" for libc in ("manylinux", "musllinux") for machine in ("x86_64", "aarch64")} <= set(CIBUILDWHEEL["linux"])


def test_wheels_are_tested_with_what_is_there() -> None:
    assert [name for name in CIBUILDWHEEL["test-sources"] if not (ROOT / name).exists()] == []
    _, runs_tests = CIBUILDWHEEL["test-command"]
    assert [name for name in re.findall(r"tests/\S+", runs_tests) if not (ROOT / name).exists()] == []
    extra = re.search(r"^test =\n((?: .*\n)+)", (ROOT / "setup.cfg").read_text(encoding="utf-8"), flags=re.MULTILINE)[1]
    assert set(CIBUILDWHEEL["test-requires"]) <= set(re.findall(r"^ +([\w-]+)", extra, flags=re.MULTILINE))


def test_cibuildwheel_understands_the_settings() -> None:
    pytest.importorskip("cibuildwheel", reason="cibuildwheel is not installed (pip install -e '.[wheels]')")
    done = subprocess.run([sys.executable, "-m", "cibuildwheel", "--platform", "linux", "--archs", "x86_64 aarch64", "--print-build-identifiers"],
                          capture_output=True, text=True, check=True, cwd=ROOT)
    assert len(done.stdout.split()) == 4 * 2 * 2


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
