"""All that is in the memory of another process, to be searched."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

_RANGE = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (r)")
_PIECE_BYTES = 2**22


def find_in_memory(process_id: int, needles: dict[str, bytes]) -> set[str]:
    """The names of the needles that are anywhere in the memory of the process."""
    found = set()
    pattern = {name: needle for name, needle in needles.items() if needle}
    longest = max(map(len, pattern.values()))
    with Path(f"/proc/{process_id}/mem").open("rb", buffering=0) as memory:
        for start, end in _readable_ranges(process_id):
            for data in _pieces(memory, start, end, longest):
                found |= {name for name, needle in pattern.items() if needle in data}
    return found


def _readable_ranges(process_id: int) -> Iterable[tuple[int, int]]:
    for line in Path(f"/proc/{process_id}/maps").read_text().splitlines():
        match = _RANGE.match(line)
        if match and not line.endswith(("[vvar]", "[vsyscall]", "[vvar_vclock]")):
            yield int(match[1], 16), int(match[2], 16)


def _pieces(memory: object, start: int, end: int, overlap: int) -> Iterable[bytes]:
    at = start
    while at < end:
        memory.seek(at)  # type: ignore[attr-defined]
        data = memory.read(min(_PIECE_BYTES + overlap, end - at))  # type: ignore[attr-defined]
        if not data:
            return
        yield data
        at += _PIECE_BYTES
