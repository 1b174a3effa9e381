"""The block of names in a hosts file."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from borealis.host.hosts_file import HostsFile, with_block

OWNERS = st.sampled_from(["Borealis in /data", "Borealis in /data2"])
LINES = st.lists(st.sampled_from(["127.0.0.1 a.localhost", "127.0.0.1 b.localhost"]), max_size=3)


def test_the_operators_lines_stay(tmp_path: Path) -> None:
    file = tmp_path / "hosts"
    file.write_text("127.0.0.1 localhost\n10.0.0.1 printer")
    names = HostsFile(file, "Borealis in /data", None)
    names.write({"a.localhost": "127.0.0.1"})
    expected = (
        "127.0.0.1 localhost\n10.0.0.1 printer\n"
        "# begin Borealis in /data\n127.0.0.1 a.localhost\n# end Borealis in /data\n"
    )
    assert file.read_text() == expected
    names.write({})
    assert file.read_text() == "127.0.0.1 localhost\n10.0.0.1 printer\n"


@given(st.lists(st.tuples(OWNERS, LINES)))
def test_each_owner_has_one_block_and_it_is_the_last_one(writes: list[tuple[str, list[str]]]) -> None:
    text = "127.0.0.1 localhost\n"
    last: dict[str, list[str]] = {}
    for owner, lines in writes:
        text = with_block(text, owner, lines)
        last[owner] = lines
    for owner, lines in last.items():
        assert text.count(f"# begin {owner}\n") == bool(lines)
        text = with_block(text, owner, [])
    assert text == "127.0.0.1 localhost\n"
