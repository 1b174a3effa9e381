"""Files of the host: the layout of a data directory, the seed's SQL, local state."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from borealis.host.errors import HostError
from borealis.host.instance import is_usable
from borealis.host.layout import (
    LONGEST_SOCKET,
    SOCKET_PATH_BYTES_MAX,
    ClusterDirectory,
    DataDirectory,
    create_layout,
    name_first_cluster,
    open_layout,
)
from borealis.host.lock import is_locked, take_lock
from borealis.host.seed import FINGERPRINT_FILE, as_one_query


def first_cluster(directory: DataDirectory) -> ClusterDirectory:
    identifier = directory.first_cluster()
    assert identifier is not None
    return directory.cluster(identifier)


def test_a_query_for_the_single_user_server_has_no_empty_line_inside() -> None:
    assert as_one_query("SELECT 1;\n\n \nSELECT 2;\n") == "SELECT 1;\nSELECT 2;\n\n"


def test_a_layout_is_created_once_and_found_again(tmp_path: Path) -> None:
    created = create_layout(tmp_path)
    assert (tmp_path / "VERSION").read_text() == "borealis data 2\n"
    assert first_cluster(created).root.is_dir()
    assert create_layout(tmp_path) == created
    assert open_layout(tmp_path) == created


def test_a_cluster_is_not_made_again(tmp_path: Path) -> None:
    created = create_layout(tmp_path)
    first_cluster(created).root.rmdir()
    create_layout(tmp_path)
    assert list(created.clusters()) == []


FORMER_FILES = {
    "VERSION": "borealis data 1\n",
    "journal/zone-1/journal-0.segment": "transactions",
    "storage/map/data.mdb": "rows",
    "instances/1/boot": "boot",
    "log/storage.log": "started",
    "run/commit.sock": "",
    "seed/PG_VERSION": "16",
}


@pytest.mark.parametrize("moved", [(), ("journal",), ("journal", "storage", "instances", "log")])
def test_data_of_the_former_version_become_the_first_cluster(tmp_path: Path, moved: tuple[str, ...]) -> None:
    """Also when an earlier attempt was interrupted after some folders had been moved."""
    for name, text in FORMER_FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    if moved:
        former = DataDirectory(tmp_path, tmp_path / "run")
        folder = former.cluster(name_first_cluster(former)).root
        folder.mkdir(parents=True)
        for name in moved:
            (tmp_path / name).rename(folder / name)
    layout = create_layout(tmp_path)
    cluster = first_cluster(layout)
    assert [found.identifier for found in layout.clusters()] == [cluster.identifier]
    for name in ("journal/zone-1/journal-0.segment", "storage/map/data.mdb", "instances/1/boot", "log/storage.log"):
        assert (cluster.root / name).read_text() == FORMER_FILES[name]
    assert (layout.seed / "PG_VERSION").exists()
    assert not (tmp_path / "journal").exists()
    assert (tmp_path / "VERSION").read_text() == "borealis data 2\n"
    assert create_layout(tmp_path) == layout


def test_an_interrupted_creation_is_completed(tmp_path: Path) -> None:
    create_layout(tmp_path)
    (tmp_path / "VERSION").unlink()
    create_layout(tmp_path)
    assert (tmp_path / "VERSION").exists()


def test_a_folder_with_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(HostError, match="not a Borealis data directory"):
        create_layout(tmp_path)
    assert os.listdir(tmp_path) == ["letter.txt"]


def test_data_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "VERSION").write_text("borealis data 3\n")
    with pytest.raises(HostError, match="another version"):
        create_layout(tmp_path)


def test_a_long_path_gets_its_sockets_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 100)
    root.mkdir()
    layout = create_layout(root)
    try:
        assert (root / "run").is_symlink()
        assert (root / "run").resolve() == layout.run
        assert len(bytes(layout.run / LONGEST_SOCKET)) <= SOCKET_PATH_BYTES_MAX
        assert layout.run.stat().st_mode & 0o777 == 0o700
        assert create_layout(root) == layout
    finally:
        layout.run.rmdir()


def test_a_short_named_folder_that_others_can_enter_is_not_used(tmp_path: Path) -> None:
    root = tmp_path / ("x" * 100)
    root.mkdir()
    run = create_layout(root).run
    try:
        run.chmod(0o777)
        with pytest.raises(HostError, match="not a private folder"):
            create_layout(root)
    finally:
        run.rmdir()


def test_one_host_at_a_time(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    assert is_locked(tmp_path)
    with pytest.raises(HostError, match=f"already runs on .*process {os.getpid()}"):
        take_lock(tmp_path)
    os.close(lock)
    assert not is_locked(tmp_path)


def test_local_state_is_used_only_in_the_boot_and_with_the_seed_that_it_was_written_with(tmp_path: Path) -> None:
    folder = first_cluster(create_layout(tmp_path)).instance(1)
    assert not is_usable(folder, "seed 1", "boot 1")
    folder.pgdata.mkdir(parents=True)
    (folder.pgdata / FINGERPRINT_FILE).write_text("seed 1")
    folder.boot.write_text("boot 1")
    assert is_usable(folder, "seed 1", "boot 1")
    assert not is_usable(folder, "seed 2", "boot 1")
    assert not is_usable(folder, "seed 1", "boot 2")
