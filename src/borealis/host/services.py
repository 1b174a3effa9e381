"""What serves all clusters: the relay with the one port of their clients, and the API."""

from pathlib import Path

from borealis.host.account import Account
from borealis.host.layout import CertificateFiles, DataDirectory
from borealis.host.programs import Service
from borealis.host.settings import HostSettings


def plan_services(settings: HostSettings, data: DataDirectory, account: Account | None) -> list[Service]:
    certificate = CertificateFiles(data.certificates)

    def service(role: str, port: int, *more: str) -> Service:
        log: Path = data.log / f"{role}.log"
        where = (f"--data={data.root}", f"--listen={settings.listen}", f"--port={port}")
        return Service(role, f"borealis.{role}", log, account, *where, *more, port=port)

    return [
        service(
            "relay",
            settings.port,
            f"--certificate={certificate.certificate}",
            f"--private-key={certificate.key}",
            f"--rate={settings.connection_rate}",
            f"--burst={settings.connection_burst}",
        ),
        service(
            "control",
            settings.api_port,
            f"--run={data.run}",
            f"--certificate={certificate.certificate}",
            f"--key={certificate.key}",
            f"--account={settings.account}",
            f"--region={settings.region}",
            f"--domain={settings.domain}",
            f"--clusters-max={settings.clusters_max}",
        ),
    ]
