"""What postgresql.conf and pg_hba.conf of an instance say, and why. Pure: text in, text out.

Both files are rewritten before every start, so that an instance always runs with the settings of the program that
starts it.
"""

from dataclasses import dataclass
from pathlib import Path

from borealis.host.errors import HostError

SUPERUSER = "borealis"
ADMIN = "admin"
DATABASE = "postgres"

# Local catalogs are disposable (the journal is the truth): nothing local is made durable, archived or streamed.
DISPOSABLE = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": 0,
    "max_replication_slots": 0,
    "min_wal_size": "2MB",
    "max_wal_size": "64MB",
    "wal_recycle": "off",
    "wal_init_zero": "off",
    # Otherwise every COMMIT between a full page and the next flush, up to 200 ms, wakes the WAL writer for it.
    "wal_writer_flush_after": 0,
    "checkpoint_timeout": "1h",
    "max_prepared_transactions": 0,
}

# Rows live in storage. Local vacuum has only the catalogs to look after; indexes are not built by workers, and
# prefetching bypasses the access method. The catalog worker is one of the worker processes.
ROWS_ELSEWHERE = {
    "autovacuum": "off",
    "max_parallel_workers": 6,
    "max_parallel_workers_per_gather": 2,
    "max_parallel_maintenance_workers": 0,
    "effective_io_concurrency": 0,
    "maintenance_io_concurrency": 0,
    "shared_buffers": "16MB",
    "max_worker_processes": 8,
    "max_logical_replication_workers": 0,
    "jit": "off",
}

SERVED = {
    "default_transaction_isolation": "repeatable read",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "datestyle": "iso, mdy",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "default_text_search_config": "pg_catalog.english",
    "log_destination": "stderr",
    "logging_collector": "off",
    "log_checkpoints": "off",
    # Time, process, SQLSTATE: what the log check of the tests and an operator's grep need.
    "log_line_prefix": "%m [%p] %e ",
    # A client that vanished must not keep a long query, and its snapshot, alive.
    "client_connection_check_interval": "10s",
    "update_process_title": "off",
    "cluster_name": "",
}

# What the host gives every instance, or one in particular: options of `borealis up`, not settings.
DECIDED = {
    *DISPOSABLE,
    *ROWS_ELSEWHERE,
    "default_table_access_method",
    "dynamic_library_path",
    "listen_addresses",
    "max_connections",
    "port",
    "shared_preload_libraries",
    "unix_socket_directories",
}


@dataclass(frozen=True)
class InstanceSettings:
    number: int
    # Names the Unix socket, and is open on loopback when `is_direct`.
    port: int
    is_direct: bool
    connections_max: int
    run: Path
    storage_map: Path
    socket: Path
    extension: Path
    transaction_age_limit_s: int
    # What the operator asked for on top.
    chosen: tuple[tuple[str, str], ...] = ()


def quote(value: object) -> str:
    """A setting's value in postgresql.conf's notation."""
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


def render(settings: dict[str, object]) -> str:
    return "".join(f"{name} = {quote(value)}\n" for name, value in settings.items())


def library_settings(extension: Path) -> dict[str, object]:
    return {"dynamic_library_path": f"$libdir:{extension}", "shared_preload_libraries": "borealis"}


def render_seed_conf(extension: Path) -> str:
    """For the single-user server that prepares the seed: tables made there are local."""
    return render({**DISPOSABLE, **ROWS_ELSEWHERE, **SERVED, **library_settings(extension)})


def check_chosen(chosen: tuple[tuple[str, str], ...]) -> None:
    """Raises HostError when the operator chose a setting that is not theirs to choose."""
    for name, _ in chosen:
        if name.lower() in DECIDED or name.lower().startswith("borealis."):
            raise HostError(f"the setting {name} is decided by Borealis and cannot be changed")


def decided_by_host(instance: InstanceSettings) -> dict[str, object]:
    return {
        **DISPOSABLE,
        **ROWS_ELSEWHERE,
        **library_settings(instance.extension),
        "listen_addresses": "127.0.0.1" if instance.is_direct else "",
        "port": instance.port,
        "unix_socket_directories": instance.socket,
        "max_connections": instance.connections_max,
        "default_table_access_method": "borealis",
        "borealis.run_directory": instance.run,
        "borealis.map_directory": instance.storage_map,
        "borealis.instance": instance.number,
        "borealis.transaction_age_limit": f"{instance.transaction_age_limit_s}s",
    }


def render_instance_conf(instance: InstanceSettings) -> str:
    return render({**SERVED, **dict(instance.chosen), **decided_by_host(instance)})


def render_hba() -> str:
    """Who may come from where.

    The Unix socket lies in a folder that only our account can enter: clients come through a front, which has checked
    them. Where a port on loopback was asked for, everybody is believed there, except who claims to be the superuser."""
    return f"""\
local all all trust
host all {SUPERUSER} all reject
host all all 127.0.0.1/32 trust
"""
