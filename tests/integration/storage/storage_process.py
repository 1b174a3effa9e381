"""A storage process under test: starts `python -m borealis.storage`, waits for it, kills it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from borealis.foundation.pages import STORAGE_MAGIC, SharedPage, StorageWord


class StorageProcess:
    """One run of the process on a data directory; `start` again after `kill` or `stop`."""

    def __init__(self, data: Path, run: Path, **settings: int) -> None:
        self.data = data
        self.run = run
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None
        self.log_path = data / "storage.log"
        self.arguments: list[str] = []

    def start(self, wait: bool = True) -> None:
        options = [f"--set={name}={number}" for name, number in self._settings.items()]
        command = [sys.executable, "-m", "borealis.storage", "--data", str(self.data), "--run", str(self.run)]
        with self.log_path.open("a") as log:
            self._process = subprocess.Popen(
                [*command, *options, *self.arguments], stdout=subprocess.PIPE, stderr=log, text=True
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", f"not ready: {self.log()}"

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        return self._end(signal.SIGTERM)

    def wait_exit(self) -> int:
        assert self._process is not None
        code = self._process.wait(60)
        self._close()
        return code

    def log(self) -> str:
        return self.log_path.read_text()

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def words(self) -> dict[str, int]:
        with SharedPage.watch(self.run / "storage.page", STORAGE_MAGIC) as page:
            return {word.name: page.load(word) for word in StorageWord}

    def _end(self, number: int) -> int:
        assert self._process is not None
        os.kill(self._process.pid, number)
        return self.wait_exit()

    def _close(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def close(self) -> None:
        if self._process is not None:
            self.kill()
