"""Settings of an instance, and what an operator may choose."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from borealis.cli import build_parser
from borealis.host.errors import HostError
from borealis.host.postgres_settings import (
    DECIDED,
    InstanceSettings,
    check_chosen,
    decided_by_host,
    quote,
    render,
    render_hba,
    render_instance_conf,
)

INSTANCE = InstanceSettings(
    number=2,
    port=5441,
    is_direct=False,
    connections_max=50,
    run=Path("/d/run"),
    storage_map=Path("/d/storage/map"),
    socket=Path("/d/run/instance-2"),
    extension=Path("/ext"),
    transaction_age_limit_s=300,
)


def parse_conf(text: str) -> dict[str, str]:
    return dict(line.split(" = ", 1) for line in text.splitlines())


def test_settings_are_quoted_as_postgresql_reads_them() -> None:
    assert quote("it's C:\\") == "'it''s C:\\\\'"
    assert render({"port": 1, "path": Path("/a b")}) == "port = '1'\npath = '/a b'\n"


def test_an_instance_is_told_where_it_belongs() -> None:
    conf = parse_conf(render_instance_conf(INSTANCE))
    assert conf["borealis.instance"] == "'2'"
    assert conf["borealis.run_directory"] == "'/d/run'"
    assert conf["borealis.map_directory"] == "'/d/storage/map'"
    assert conf["borealis.transaction_age_limit"] == "'300s'"
    assert conf["dynamic_library_path"] == "'$libdir:/ext'"


def test_an_instance_is_open_on_loopback_only_when_asked() -> None:
    assert parse_conf(render_instance_conf(INSTANCE))["listen_addresses"] == "''"
    conf = parse_conf(render_instance_conf(replace(INSTANCE, is_direct=True)))
    assert conf["listen_addresses"] == "'127.0.0.1'"


def test_an_operator_may_choose_what_is_not_decided() -> None:
    conf = parse_conf(render_instance_conf(replace(INSTANCE, chosen=(("work_mem", "64MB"), ("timezone", "CET")))))
    assert (conf["work_mem"], conf["timezone"]) == ("'64MB'", "'CET'")


@pytest.mark.parametrize("name", [*sorted(DECIDED), "Effective_IO_Concurrency", "borealis.instance"])
def test_what_borealis_relies_on_cannot_be_chosen(name: str) -> None:
    with pytest.raises(HostError, match="decided by Borealis"):
        check_chosen((("work_mem", "64MB"), (name, "1")))


def test_everything_that_the_host_decides_is_listed() -> None:
    assert {name for name in decided_by_host(INSTANCE) if not name.startswith("borealis.")} == DECIDED


def test_the_superuser_is_turned_away_before_anybody_is_believed() -> None:
    rules = [line.split() for line in render_hba().splitlines()]
    over_tcp = [rule for rule in rules if rule[0] == "host"]
    assert over_tcp[0] == ["host", "all", "borealis", "all", "reject"]
    assert [rule[-1] for rule in over_tcp[1:]] == ["trust"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "80"],
        ["--instances", "0"],
        ["--transaction-age-limit", "0"],
        ["--set", "work_mem"],
        ["--set", "x';=1"],
        ["--max-connections", "-1"],
        ["--region", "EU"],
        ["--domain", "db_example"],
        ["--account", "12"],
        ["--listen", "localhost"],
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["up", *arguments])
    assert arguments[0] in capsys.readouterr().err
