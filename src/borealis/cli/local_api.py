"""Where the API of a data directory is: what its service wrote down when it began to serve."""

import json
from pathlib import Path

from borealis.cli.api_client import ApiAddress
from borealis.control.address import ADDRESS_FILE
from borealis.foundation.errors import Unavailable


def find_local_api(data: Path) -> ApiAddress:
    """Raises Unavailable when it has never served."""
    try:
        found = json.loads((data / "run" / ADDRESS_FILE).read_text())
    except FileNotFoundError:
        raise Unavailable(f"nothing runs on {data}; start it with borealis up --data {data}") from None
    certificate = found["certificate"]
    return ApiAddress(found["url"], found["region"], None if certificate is None else Path(certificate), is_pinned=True)
