"""The host: gives a cluster its processes on one machine, and keeps them running.

It owns the data directory's layout and lock, the PostgreSQL server tree, the seed and the instances cloned from it, and
supervises the transaction service, storage and the query processors. It promises that what it starts also ends, in
order when asked and at once when the host itself dies, and that nothing of it runs as root.
"""

from borealis.host.errors import HostError
from borealis.host.settings import INSTANCES_MAX, TRANSACTION_AGE_LIMIT_S_MAX, HostSettings
from borealis.host.startup import run_host

__all__ = ["INSTANCES_MAX", "TRANSACTION_AGE_LIMIT_S_MAX", "HostError", "HostSettings", "run_host"]
