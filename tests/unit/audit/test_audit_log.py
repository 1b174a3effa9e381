import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.audit import AuditEvent, AuditLimits, AuditLog, AuditOutcome, AuditRecord, encode_record
from borealis.foundation.errors import Unavailable
from borealis.foundation.identifiers import Timestamp

RECORD = AuditRecord(
    time=Timestamp(1_700_000_000_123_456_789),
    event=AuditEvent.API_CALL,
    outcome=AuditOutcome.ALLOWED,
    request_id="1",
    source="127.0.0.1:4321",
    action="dsql:GetCluster",
    principal="arn:aws:iam::000000000000:user/admin",
    access_key="AKIAEXAMPLE",
)


def lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def numbered(number: int) -> AuditRecord:
    return replace(RECORD, request_id=str(number))


def test_a_line_says_what_is_known_and_leaves_out_the_rest() -> None:
    assert json.loads(encode_record(RECORD)) == {
        "time": "2023-11-14T22:13:20.123456Z",
        "event": "api-call",
        "outcome": "allowed",
        "requestId": "1",
        "source": "127.0.0.1:4321",
        "action": "dsql:GetCluster",
        "principal": "arn:aws:iam::000000000000:user/admin",
        "accessKey": "AKIAEXAMPLE",
    }


@given(st.text(), st.text(min_size=1000, max_size=3000))
def test_no_text_makes_a_second_line_or_a_long_one(agent: str, message: str) -> None:
    line = encode_record(replace(RECORD, agent=agent, message=message))
    assert line.isascii()
    assert line.count(b"\n") == 1
    assert len(line) < 30_000
    assert json.loads(line)["message"] == message[:1024]
    assert json.loads(line)["agent"] == agent[:1024]


def test_files_rotate_in_order_and_are_bounded(tmp_path: Path) -> None:
    limits = AuditLimits(file_bytes_max=10 * len(encode_record(numbered(10))), files_max=3)
    with AuditLog(tmp_path / "audit", "control", limits) as log:
        for number in range(10, 60):
            log.write(numbered(number))
    folder = tmp_path / "audit"
    assert sorted(path.name for path in folder.glob("*.jsonl")) == [
        "control.1.jsonl",
        "control.2.jsonl",
        "control.jsonl",
    ]
    kept = [
        int(line["requestId"])
        for name in ("control.2.jsonl", "control.1.jsonl", "control.jsonl")
        for line in lines(folder / name)
    ]
    assert kept == list(range(30, 60))
    assert (folder / "control.jsonl").stat().st_mode & 0o007 == 0


def test_a_new_process_goes_on_behind_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "relay-1.jsonl"
    path.write_bytes(encode_record(numbered(1)) + b'{"torn')
    with AuditLog(tmp_path, "relay-1") as log:
        log.write(numbered(2))
    first, torn, second = path.read_bytes().splitlines()
    assert json.loads(first)["requestId"] == "1"
    assert torn == b'{"torn'
    assert json.loads(second)["requestId"] == "2"


def test_two_processes_do_not_share_a_file(tmp_path: Path) -> None:
    with AuditLog(tmp_path, "control"):
        with pytest.raises(Unavailable):
            AuditLog(tmp_path, "control")
        AuditLog(tmp_path, "relay-1").close()
    AuditLog(tmp_path, "control").close()


@pytest.mark.parametrize("writer", ["", "../x", "a/b", "a.b"])
def test_a_writer_has_a_plain_name(tmp_path: Path, writer: str) -> None:
    with pytest.raises(ValueError, match="name"):
        AuditLog(tmp_path, writer)


def test_lines_survive_a_kill(tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tests.unit.audit.test_audit_log import numbered
from borealis.audit import AuditLog
log = AuditLog(Path({str(tmp_path)!r}), "control")
for number in range(100):
    log.write(numbered(number))
print("here", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"here\n"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert [line["requestId"] for line in lines(tmp_path / "control.jsonl")] == [str(number) for number in range(100)]


def test_what_a_full_disk_refuses_is_counted(tmp_path: Path) -> None:
    """The limit on the size of files stands for the full disk: writes are cut short, then fail."""
    line = len(encode_record(numbered(10)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with AuditLog(tmp_path, "control") as log:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2 * line + line // 2, before[1]))
            for number in range(10, 20):
                log.write(numbered(number))
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            log.write(numbered(20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    found = (tmp_path / "control.jsonl").read_bytes().splitlines()
    whole = [json.loads(text) for number, text in enumerate(found) if number != 2]
    assert [entry.get("requestId", entry) for entry in whole] == ["10", "11", {"event": "lost", "count": 8}, "20"]
