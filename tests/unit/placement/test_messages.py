"""Lines of the host's control socket: whatever comes in is a request or malformed, never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from borealis.foundation.errors import Malformed
from borealis.placement.messages import Request, decode_fronts, decode_request, encode_fronts, is_cluster_name
from borealis.placement.table import FRONT_ID_MAX

CLUSTER = "a" * 26
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["start", CLUSTER]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "do", "cluster", "x"]), inner),
    max_leaves=8,
)


def test_a_request() -> None:
    assert decode_request(b'{"id":7,"do":"start","cluster":"%s"}' % CLUSTER.encode()) == Request(7, "start", CLUSTER)
    assert decode_request(b'{"id":8,"do":"list"}') == Request(8, "list", None)


@pytest.mark.parametrize(
    "fields",
    [
        {"do": "list"},
        {"id": True, "do": "list"},
        {"id": 1, "do": "reboot"},
        {"id": 1, "do": "start"},
        {"id": 1, "do": "list", "cluster": CLUSTER},
        {"id": 1, "do": "delete", "cluster": "../../../../etc/cron.daily"},
        {"id": 1, "do": "delete", "cluster": "A" * 26},
        {"id": 1, "do": ["list"]},
    ],
)
def test_what_is_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode_request(json.dumps(fields).encode())


@given(st.binary(max_size=60) | JSON.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_is_a_request_or_malformed(line: bytes) -> None:
    try:
        request = decode_request(line)
    except Malformed:
        return
    assert request.cluster is None or is_cluster_name(request.cluster)


@given(JSON)
def test_fronts_survive_the_way_there_and_back(value: object) -> None:
    try:
        fronts = decode_fronts(CLUSTER, value)
    except Malformed:
        return
    assert decode_fronts(CLUSTER, encode_fronts(fronts)) == fronts


def test_ids_of_fronts_have_fifteen_bits() -> None:
    assert decode_fronts(CLUSTER, [{"id": FRONT_ID_MAX, "path": "/f"}])[0].front_id == FRONT_ID_MAX
    for number in (0, FRONT_ID_MAX + 1):
        with pytest.raises(Malformed):
            decode_fronts(CLUSTER, [{"id": number, "path": "/f"}])
