"""The audit log: one JSON line for each API call and for each attempt to log in.

A library. `record` is what a line says, `log` the file that it goes to. Promises that a line is complete or absent,
that the files are bounded in number and size, and that nothing a stranger sends can forge a line or fill the
disk. Its callers promise to put no token, no key and no password into a record.
"""

from borealis.audit.log import AuditLimits, AuditLog
from borealis.audit.record import AuditEvent, AuditOutcome, AuditRecord, encode_record

__all__ = ["AuditEvent", "AuditLimits", "AuditLog", "AuditOutcome", "AuditRecord", "encode_record"]
