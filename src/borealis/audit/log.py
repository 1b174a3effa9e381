"""The files of the audit log: appended, rotated by size, bounded in number, one set for each process that writes.

A line is one write to a file opened with O_APPEND. It is on its way to the disk when `write` returns and survives the
death of the process, not that of the operating system. A disk that is full must not stop the service: lines that could
not be written are counted, and the count is written as soon as there is room.
"""

import fcntl
import json
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from borealis.audit.record import AuditRecord, encode_record
from borealis.foundation.errors import Unavailable

_log = logging.getLogger("audit")
_WRITER: Final = re.compile(r"[a-z0-9-]+")
_PERMISSIONS: Final = 0o640
_DIRECTORY_PERMISSIONS: Final = 0o750


@dataclass(frozen=True)
class AuditLimits:
    """`files_max`, at least 2, counts the current file: bytes on disk stay below `files_max * file_bytes_max` and
    a line for each file."""

    file_bytes_max: int = 16 * 1024 * 1024
    files_max: int = 16


class AuditLog:
    """`<directory>/<writer>.jsonl` and, older and older, `<writer>.1.jsonl`, `<writer>.2.jsonl` …"""

    def __init__(self, directory: Path, writer: str, limits: AuditLimits | None = None) -> None:
        """`writer` names the process among those that share the directory: `control`, `relay-1`.

        Raises Unavailable if another process writes under the same name."""
        if not _WRITER.fullmatch(writer):
            raise ValueError(f"not a name for a file: {writer!r}")
        self._directory = directory
        self._writer = writer
        self._limits = limits or AuditLimits()
        self._lost = 0
        self._size = 0
        self._is_torn = False
        directory.mkdir(mode=_DIRECTORY_PERMISSIONS, parents=True, exist_ok=True)
        self._lock = self._take_lock()
        try:
            self._descriptor = self._open_current()
        except BaseException:
            os.close(self._lock)
            raise

    def write(self, record: AuditRecord) -> None:
        """Append one line. Never raises: what cannot be written is counted and told to the log of the process."""
        try:
            if self._size >= self._limits.file_bytes_max:
                self._rotate()
            if self._lost:
                self._append(json.dumps({"event": "lost", "count": self._lost}).encode() + b"\n")
                _log.warning("the audit log can be written again; %d lines are lost", self._lost)
                self._lost = 0
            self._append(encode_record(record))
        except OSError as error:
            if not self._lost:
                _log.error("the audit log cannot be written: %s", error)
            self._lost += 1

    def close(self) -> None:
        os.close(self._descriptor)
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _append(self, line: bytes) -> None:
        if self._is_torn:
            line = b"\n" + line
        # Torn until proven whole: a full disk may take a part of the line, or fail after it.
        self._is_torn = True
        written = os.write(self._descriptor, line)
        self._size += written
        if written < len(line):
            raise OSError("the disk took a part of a line")
        self._is_torn = False

    def _open_current(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self._path(0), flags, _PERMISSIONS)
        self._size = os.fstat(descriptor).st_size
        # A process that was killed, or a machine that lost power, may have left a part of a line.
        self._is_torn = self._size > 0 and os.pread(descriptor, 1, self._size - 1) != b"\n"
        return descriptor

    def _rotate(self) -> None:
        """From the oldest to the newest, each takes the place of the one before: a crash in between loses none."""
        for number in range(self._limits.files_max - 2, -1, -1):
            try:
                os.rename(self._path(number), self._path(number + 1))
            except FileNotFoundError:
                continue
        former = self._descriptor
        self._descriptor = self._open_current()
        os.close(former)

    def _path(self, number: int) -> Path:
        return self._directory / (f"{self._writer}.{number}.jsonl" if number else f"{self._writer}.jsonl")

    def _take_lock(self) -> int:
        descriptor = os.open(self._directory / f"{self._writer}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise Unavailable(f"another process writes the audit log of {self._writer}") from error
        return descriptor
