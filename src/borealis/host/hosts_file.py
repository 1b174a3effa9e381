"""The names of clusters in a hosts file such as /etc/hosts: for machines whose resolver does not know `*.localhost`.

Owns one block of the file, between two lines that name the data directory; the rest is the operator's and stays as it
is. The file is written in place, because containers mount it. Pure but for `HostsFile`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from borealis.host.account import Account, as_root
from borealis.host.errors import HostError


def with_block(text: str, owner: str, lines: Iterable[str]) -> str:
    """The text with the owner's block replaced by one of these lines, at its end; without lines, with no such block."""
    begin, end = f"# begin {owner}\n", f"# end {owner}\n"
    before, marked, rest = text.partition(begin)
    if marked:
        # A block whose end was cut off reaches to the end of the file.
        text = before + rest.partition(end)[2]
    block = "".join(f"{line}\n" for line in lines)
    if not block:
        return text
    separator = "" if not text or text.endswith("\n") else "\n"
    return f"{text}{separator}{begin}{block}{end}"


class HostsFile:
    """The block of one data directory in a file. Does nothing without a file."""

    def __init__(self, path: Path | None, owner: str, account: Account | None) -> None:
        self._path = path
        self._owner = owner
        self._account = account

    def write(self, names: Mapping[str, str]) -> None:
        """Addresses by name. Raises HostError when the file cannot be written."""
        if self._path is None:
            return
        lines = [f"{address} {name}" for name, address in names.items()]
        try:
            with as_root(self._account):
                old = self._path.read_text()
                new = with_block(old, self._owner, lines)
                if new != old:
                    self._path.write_text(new)
        except OSError as error:
            raise HostError(f"cannot write {self._path}: {error.strerror}; see --hosts") from error
