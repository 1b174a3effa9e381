"""Every number of the storage process that somebody may want to change, with its unit last in its name."""

from dataclasses import dataclass
from typing import Final

MEBIBYTE: Final = 1 << 20
GIBIBYTE: Final = 1 << 30
SECOND_NS: Final = 1_000_000_000
MILLISECOND_NS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Defaults suit one machine. All bounds are upper bounds."""

    # The map.
    map_bytes_max: int = 1 << 40
    map_readers_max: int = 1024

    # Apply. A plan collects whole batches up to so many writes; a chunk is what one LMDB transaction writes at most. A
    # giant is a transaction that is not taken apart in memory as a whole.
    plan_writes_max: int = 16_384
    chunk_writes_max: int = 16_384
    chunk_bytes_max: int = 64 * MEBIBYTE
    giant_bytes: int = 32 * MEBIBYTE
    frame_bytes_max: int = 2 * GIBIBYTE
    report_delay_ns: int = 5 * MILLISECOND_NS
    report_bytes: int = MEBIBYTE

    # Collection of old versions. Keys wait for it, in the hope that what was theirs goes with another write to the same
    # leaf: for so long, while something is written; not when it has been quiet; nor if they are busy.
    round_interval_ns: int = 100 * MILLISECOND_NS
    idle_round_interval_ns: int = SECOND_NS
    horizon_lag_ns: int = SECOND_NS
    transaction_age_max_ns: int = 300 * SECOND_NS
    transaction_age_grace_ns: int = 30 * SECOND_NS
    collect_delay_ns: int = 30 * SECOND_NS
    collect_quiet_ns: int = SECOND_NS
    collect_busy_overwrites: int = 64
    collect_keys_min: int = 64
    collect_keys_max: int = 512
    collect_queue_max: int = 250_000
    sweep_entries: int = 2_000
    background_rest_factor: int = 7
    size_publication_interval_ns: int = SECOND_NS
    reader_check_interval_ns: int = SECOND_NS

    # Snapshots.
    snapshot_journal_bytes: int = 256 * MEBIBYTE
    snapshots_kept: int = 2

    # Waiting for others.
    reconnect_delay_min_ns: int = 10 * MILLISECOND_NS
    reconnect_delay_max_ns: int = SECOND_NS
    room_retry_interval_ns: int = SECOND_NS
