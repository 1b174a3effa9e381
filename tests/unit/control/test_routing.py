from contextlib import suppress
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.control.errors import ApiError
from borealis.control.model import OPERATIONS
from borealis.control.routing import find_route
from borealis.control.shapes import Operation

texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
@settings(max_examples=20)
@given(first=texts, second=texts)
def test_every_operation_is_found_with_its_labels(operation: Operation, first: str, second: str) -> None:
    path, labels = operation.path, {}
    for value in (first, second):
        if "{" in path:
            name = path[path.index("{") + 1 : path.index("}")]
            path = path.replace("{" + name + "}", quote(value, safe=""))
            labels[name] = value
    route = find_route(operation.method, path)
    assert (route.operation, route.labels) == (operation, labels)


def test_an_arn_may_hold_slashes() -> None:
    arn = "arn:aws:dsql:us-east-1:000000000000:cluster/" + "x" * 26
    assert find_route("GET", f"/tags/{arn}").labels == {"resourceArn": arn}


@pytest.mark.parametrize(
    ("method", "path", "reason"),
    [
        ("GET", "", "unknownOperation"),
        ("GET", "cluster", "unknownOperation"),
        ("GET", "/cluster/", "unknownOperation"),
        ("GET", "//cluster", "unknownOperation"),
        ("get", "/cluster", "unknownOperation"),
        ("PATCH", "/cluster", "unknownOperation"),
        ("GET", "/cluster/x/y", "unknownOperation"),
        ("GET", "http://host/cluster", "unknownOperation"),
        ("GET", "*", "unknownOperation"),
        ("GET", "/cluster/%FF", "cannotParse"),
    ],
)
def test_other_paths_are_refused(method: str, path: str, reason: str) -> None:
    with pytest.raises(ApiError) as caught:
        find_route(method, path)
    assert (caught.value.status, caught.value.members["reason"]) == (400, reason)


@given(st.sampled_from(["GET", "POST", "DELETE"]), st.text())
def test_any_path_is_judged(method: str, path: str) -> None:
    with suppress(ApiError):
        assert find_route(method, path).operation.method == method
