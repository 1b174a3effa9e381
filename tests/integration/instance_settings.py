"""Changes settings of a running instance that only its configuration file can change."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping

from borealis.host.postgres_settings import render
from tests.cluster import Cluster
from tests.integration.waiting import wait_until


def change_settings(cluster: Cluster, instance: int, settings: Mapping[str, str]) -> None:
    """Returns when new statements of every session see them; the host's next start of the instance forgets them."""
    path = cluster.directory.instance(instance).pgdata / "postgresql.conf"
    with path.open("a") as file:
        file.write(render(dict(settings)))
    os.kill(cluster.process_id(f"instance-{instance}"), signal.SIGHUP)
    with cluster.connect(instance) as connection:

        def is_changed() -> bool:
            return all(
                connection.execute("SELECT current_setting(%s)", [name]).fetchone() == (value,)
                for name, value in settings.items()
            )

        wait_until(is_changed, f"the instance runs with {settings}")
