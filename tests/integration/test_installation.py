"""`pip install .` as others run it: a source release is enough to build a wheel, and the wheel to run Borealis."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from tests.cluster import Cluster

ROOT = Path(__file__).parents[2]
PIP_OFFLINE = ("--disable-pip-version-check", "--quiet", "--no-index", "--no-deps")
LIBRARY_SUFFIX = ".dylib" if sys.platform == "darwin" else ".so"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    # What an earlier release held would be taken over into the next: hence a folder of its own for what is known of it.
    release = ("egg_info", "--egg-base", folder, "sdist", "--dist-dir", folder)
    subprocess.run([sys.executable, "setup.py", "-q", *release], cwd=ROOT, check=True)
    (archive,) = folder.glob("*.tar.gz")
    subprocess.run(["tar", "-xzf", archive, "-C", folder], check=True)
    # Not fast, but built fast; with the sources of LMDB that `make build` has downloaded.
    environment = {**os.environ, "OPTIMIZE": "-O0", "DOWNLOAD": str(ROOT / ".build" / "download")}
    source = folder / archive.name.removesuffix(".tar.gz")
    build = (*PIP_OFFLINE, "--no-build-isolation", "--wheel-dir", folder, source)
    subprocess.run([sys.executable, "-m", "pip", "wheel", *build], env=environment, check=True)
    (built,) = folder.glob("*.whl")
    return built


def test_a_wheel_holds_the_package_and_its_libraries(wheel: Path) -> None:
    package = ROOT / "src" / "borealis"
    modules = {str(path.relative_to(package.parent)) for path in package.rglob("*.py")}
    libraries = {
        *(f"borealis/{name}{LIBRARY_SUFFIX}" for name in ("tls/borealis_tls", "storage/borealis_storage")),
        f"borealis/adjudicator/borealis_transactions{LIBRARY_SUFFIX}",
        *(f"borealis/host/extension/{name}" for name in ("borealis.sql", "sys.sql", f"borealis{LIBRARY_SUFFIX}")),
    }
    others = {"borealis/py.typed", "borealis/host/extension/LMDB-LICENSE"}
    with zipfile.ZipFile(wheel) as file:
        names = set(file.namelist())
    assert {name for name in names if name.startswith("borealis/")} == modules | libraries | others
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}


def test_a_fresh_environment_with_a_wheel_runs_a_cluster(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *PIP_OFFLINE, wheel], check=True)
    # The packages that it depends on, lent; the links of editable installations do not count in there.
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "lent.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    cluster = Cluster(instances=1, command=(str(environment / "bin" / "borealis"),))
    try:
        cluster.start()
        with cluster.connect() as connection:
            connection.execute("CREATE TABLE kept (k int PRIMARY KEY)")
            connection.execute("INSERT INTO kept VALUES (1), (2)")
            assert connection.execute("SELECT count(*) FROM kept").fetchone() == (2,)
        cluster.stop()
        assert cluster.problems() == []
    finally:
        cluster.close()
