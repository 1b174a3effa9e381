"""The words of the shared page that every reader begins with."""

from typing import NamedTuple

from borealis.foundation.identifiers import CatalogVersion, SchemaVersion, Timestamp


class Published(NamedTuple):
    """What readers may see."""

    acknowledged: Timestamp
    schema_version: SchemaVersion
    catalog_version: CatalogVersion
