"""Makes the virtual environment of the working tree, on machines that have Python and nothing else of its tools.

usage: make_environment.py FOLDER

Debian and Ubuntu split `ensurepip` and pip off Python. Without them the environment's pip comes from the package index
directly: one pinned file, checked against its hash before a byte of it runs. BOREALIS_PIP_WHEEL names another place to
take that file from (a URL, for machines behind a mirror).
"""

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import venv
from pathlib import Path

PYTHON_MINIMUM = (3, 11)
PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_URL = f"https://files.pythonhosted.org/packages/07/25/ee8c38ae72d66b844ce8eb9711ba905dba21ca1a8a0c960057c41cd23337/{PIP_WHEEL}"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"


def has_ensurepip() -> bool:
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        return False
    return True


def install_pip(python: Path) -> None:
    url = os.environ.get("BOREALIS_PIP_WHEEL", PIP_URL)
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            wheel = answer.read()
    except (urllib.error.URLError, OSError) as error:
        sys.exit(
            f"cannot fetch pip from {url}: {error}\nInstall it by hand and try again: apt-get install python3-venv"
        )
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        sys.exit(f"{url} is not the expected file: its SHA-256 differs from {PIP_SHA256}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, PIP_WHEEL)
        path.write_bytes(wheel)
        # A wheel is a zip file, which Python runs: pip installs itself.
        subprocess.run([python, f"{path}/pip", "install", "--quiet", "--no-index", path], check=True)


def main(folder: Path) -> None:
    if sys.version_info < PYTHON_MINIMUM:
        sys.exit(
            f"Borealis needs Python {'.'.join(map(str, PYTHON_MINIMUM))} or newer; this is {sys.version.split()[0]}"
        )
    with_pip = has_ensurepip()
    venv.EnvBuilder(symlinks=True, with_pip=with_pip).create(folder)
    if not with_pip:
        install_pip(folder.resolve() / "bin" / "python")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
