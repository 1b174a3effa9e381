"""The names of clusters in a hosts file such as /etc/hosts: for machines whose resolver does not know `*.localhost`.

Owns one block of the file, between two lines that name the data directory; the rest is the operator's and stays as it
is. The file is written in place, because containers mount it. Pure but for `update_hosts_file`.
"""

from collections.abc import Iterable
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


def update_hosts_file(path: Path, owner: str, lines: Iterable[str], account: Account | None) -> None:
    """Raises HostError when the file cannot be written."""
    try:
        with as_root(account):
            old = path.read_text()
            new = with_block(old, owner, lines)
            if new != old:
                path.write_text(new)
    except OSError as error:
        raise HostError(f"cannot write {path}: {error.strerror}; see --hosts") from error
