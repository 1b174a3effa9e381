"""Where the API serves, written down for the commands on the same machine (docs/formats.md, "Data directory")."""

import ipaddress
import json
from pathlib import Path
from typing import Final

ADDRESS_FILE: Final = "api.json"


def write_address(run: Path, listener: tuple[str, int], region: str, certificate: Path | None) -> None:
    """Replaced as a whole at each start. After a killed service it lies until the next one serves."""
    scheme = "http" if certificate is None else "https"
    content = {
        "url": f"{scheme}://{reachable_address(*listener)}",
        "region": region,
        "certificate": None if certificate is None else str(certificate.absolute()),
    }
    draft = run / f"{ADDRESS_FILE}.new"
    draft.write_text(json.dumps(content))
    draft.replace(run / ADDRESS_FILE)


def reachable_address(host: str, port: int) -> str:
    """For clients on this machine; who listens everywhere is on loopback, too."""
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"
