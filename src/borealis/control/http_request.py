"""A request of HTTP, as it arrived. Values only."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """`target` is undecoded, header names are in lower case; both are Latin-1."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    # Of the client; None where there is none (a Unix socket).
    source_ip: str | None
    source_port: int | None

    @property
    def source(self) -> str:
        if self.source_ip is None:
            return "local"
        address = f"[{self.source_ip}]" if ":" in self.source_ip else self.source_ip
        return f"{address}:{self.source_port}"
