"""Files that are on the disk when the call returns, or not there at all."""

import os
from pathlib import Path


def sync_directory(directory: Path) -> None:
    """Make creations, renames and removals in it durable."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def replace_file(path: Path, contents: bytes) -> None:
    """Put `contents` in the place of the file: after a crash there is the old one or the new one, whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    sync_directory(path.parent)
