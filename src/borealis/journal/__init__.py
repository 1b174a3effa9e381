"""The journal: the durable, ordered log of committed transactions; the point of commit.

`FileJournal` is the engine on local files: appends to pre-written segments in one directory per zone, and recovery
after any stop. `JournalDamaged` means that acknowledged transactions may be missing, `NoRoom` that the disk is full.
Followers read through `reading`. Nothing here knows what a transaction is; records are opaque bytes.
"""

from borealis.journal.disk import LocalDisk
from borealis.journal.file_journal import FileJournal, NoRoom
from borealis.journal.recovery import JournalDamaged

__all__ = ["FileJournal", "JournalDamaged", "LocalDisk", "NoRoom"]
