"""The extension's library with doors to its internals (postgres_extension/tests/doors), which the product's has not.

Promises a library that is up to date: it is built when it is not. The one in the folder BOREALIS_LIBRARY_DIRECTORY is
taken as it is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import Connection
from tests.integration.building import build
from tests.integration.plain_server import CHECKOUT, EXTENSION_SOURCES, connect, plain_server


def library_with_doors() -> Path:
    """The folder of the library, which can stand in for the installed one."""
    folder = os.environ.get("BOREALIS_LIBRARY_DIRECTORY")
    if folder:
        return Path(folder)
    build(EXTENSION_SOURCES, "with-doors")
    return CHECKOUT / ".build" / "extension" / "with-doors"


@contextmanager
def library_connection() -> Iterator[Connection]:
    """A superuser's connection to a server of its own, with schema borealis_test."""
    libraries = library_with_doors()
    with plain_server(libraries, shared_preload_libraries="borealis") as server, connect(server) as connection:
        connection.execute((EXTENSION_SOURCES / "tests/doors/test_functions.sql").read_bytes())
        yield connection
