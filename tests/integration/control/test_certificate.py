"""The API's certificate is read anew when the host says that there is another one."""

from __future__ import annotations

import http.client
import shutil
import signal
import ssl
from pathlib import Path

from tests.certificates import Authority, Certificate
from tests.integration.control.running_control import RunningControl
from tests.integration.waiting import wait_until


def install(certificate: Certificate, folder: Path) -> None:
    for source, name in ((certificate.chain, "server.pem"), (certificate.key, "server.key")):
        shutil.copy(source, folder / f"{name}.new")
        (folder / f"{name}.new").rename(folder / name)


def is_answered(client: http.client.HTTPConnection) -> bool:
    """Over the same connection; that nothing is signed is another matter."""
    client.request("GET", "/cluster")
    answer = client.getresponse()
    answer.read()
    return answer.status == 403


def test_another_certificate_is_shown_once_the_host_says_so(tmp_path: Path) -> None:
    first, second = (Authority(tmp_path, name).issue(name) for name in ("first", "second"))
    files = tmp_path / "server.pem", tmp_path / "server.key"
    install(first, tmp_path)
    control = RunningControl("--certificate", str(files[0]), "--key", str(files[1]))

    def is_shown(certificate: Certificate) -> bool:
        host, _, port = control.address.rpartition(":")
        return certificate.chain.read_text().startswith(ssl.get_server_certificate((host, int(port))).strip())

    try:
        control.start()
        process = control.control.process_id
        assert is_shown(first)
        client = http.client.HTTPSConnection(control.address, context=ssl._create_unverified_context())
        client.connect()
        client.auto_open = 0
        assert is_answered(client)
        install(second, tmp_path)
        assert is_shown(first)
        control.control.send_signal(signal.SIGHUP)
        wait_until(lambda: is_shown(second), "the second certificate is shown")
        # A connection from before goes on.
        assert is_answered(client)
        # What cannot be used changes nothing.
        files[0].write_text("nonsense")
        control.control.send_signal(signal.SIGHUP)
        assert is_shown(second)
        install(first, tmp_path)
        control.control.send_signal(signal.SIGHUP)
        wait_until(lambda: is_shown(first), "the first certificate is shown again")
        assert control.control.process_id == process
        client.close()
        assert control.control.stop() == 0
    finally:
        control.close()
