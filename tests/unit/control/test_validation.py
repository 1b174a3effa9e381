"""The validator against botocore's own, and against values made to fit each shape."""

import json
import re
from typing import Any

import botocore.session
import botocore.validate
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from borealis.control.errors import ApiError, ValidationReason
from borealis.control.model import CREATE_CLUSTER, OPERATIONS, UPDATE_CLUSTER
from borealis.control.shapes import (
    Flag,
    Instant,
    Number,
    Operation,
    Place,
    Sequence,
    Shape,
    Structure,
    Table,
    Text,
)
from borealis.control.validation import PROBLEMS_MAX, check_structure, gather, parse_body
from tests.examples import examples

SERVICE = botocore.session.get_session().get_service_model("dsql")
WITH_INPUT = [operation for operation in OPERATIONS if operation.input is not None]


def fitting(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that the shape allows."""
    match shape:
        case Text(values=values) if values:
            return st.sampled_from(values)
        case Text():
            longest = min(shape.characters_max or 60, 300)
            texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=longest)
            if shape.pattern is not None:
                texts = st.from_regex(shape.pattern, fullmatch=True).map(lambda text: text[:longest])
                pattern = re.compile(shape.pattern)
                texts = texts.filter(lambda text: pattern.fullmatch(text) is not None and "\0" not in text)
            return texts.filter(lambda text: len(text) >= (shape.characters_min or 0))
        case Number():
            return st.integers(shape.minimum, shape.maximum)
        case Flag():
            return st.booleans()
        case Instant():
            return st.integers() | st.floats(allow_nan=False)
        case Sequence():
            return st.lists(fitting(shape.member), min_size=shape.count_min or 0, max_size=3)
        case Table():
            return st.dictionaries(fitting(shape.key), fitting(shape.value), max_size=3)
        case Structure():
            required = {name: fitting(member.shape) for name, member in shape.members.items() if member.is_required}
            optional = {name: fitting(member.shape) for name, member in shape.members.items() if not member.is_required}
            return st.fixed_dictionaries(required, optional=optional)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("operation", WITH_INPUT, ids=lambda operation: operation.name)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_what_fits_is_taken_whole(operation: Operation, data: st.DataObject) -> None:
    assert operation.input is not None
    value = data.draw(fitting(operation.input))
    taken, problems = check_structure(operation.input, value)
    assert problems == []
    assert taken == value


@pytest.mark.parametrize("operation", WITH_INPUT, ids=lambda operation: operation.name)
@settings(max_examples=examples(40))
@given(data=st.data())
def test_what_botocore_refuses_is_refused(operation: Operation, data: st.DataObject) -> None:
    """Botocore checks types, required members and lower bounds, no patterns: we refuse at least as much."""
    assert operation.input is not None
    names = list(operation.input.members)
    value = data.draw(st.dictionaries(st.sampled_from(names), json_values, max_size=len(names)))
    value = {name: found for name, found in value.items() if found is not None}
    _, problems = check_structure(operation.input, value)
    shape = SERVICE.operation_model(operation.name).input_shape
    theirs = botocore.validate.ParamValidator().validate(value, shape)
    # Unknown members of nested structures are dropped here and refused there; it takes tuples for lists.
    report = theirs.generate_report()
    if theirs.has_errors() and "Unknown parameter" not in report:
        assert problems, report


@given(
    st.dictionaries(st.sampled_from(list(UPDATE_CLUSTER.input.members) if UPDATE_CLUSTER.input else []), json_values)
)
def test_every_value_is_judged(value: dict[str, Any]) -> None:
    assert UPDATE_CLUSTER.input is not None
    refusal = None
    try:
        taken = gather(UPDATE_CLUSTER.input, {"identifier": "x" * 26}, {}, value)
    except ApiError as error:
        refusal, taken = error, error.members
    json.dumps(taken).encode()
    if refusal is None:
        assert taken["identifier"] == "x" * 26
    else:
        refusal.message.encode()
        assert taken["reason"] == ValidationReason.FIELD_VALIDATION_FAILED
        assert 1 <= len(taken["fieldList"]) <= PROBLEMS_MAX


@given(st.binary())
def test_every_body_is_an_object_or_refused(body: bytes) -> None:
    reason = None
    try:
        assert isinstance(parse_body(body), dict)
    except ApiError as error:
        reason = error.members["reason"]
    assert reason in (None, ValidationReason.CANNOT_PARSE)


@given(st.dictionaries(st.text(), json_values))
def test_an_object_comes_through(value: dict[str, Any]) -> None:
    assert parse_body(json.dumps(value).encode()) == json.loads(json.dumps(value))


def test_members_come_from_their_places_only() -> None:
    everywhere = {
        member.place for operation in WITH_INPUT for member in (operation.input or Structure()).members.values()
    }
    assert everywhere == set(Place)
    assert UPDATE_CLUSTER.input is not None
    taken = gather(
        UPDATE_CLUSTER.input,
        {"identifier": "x" * 26},
        {"deletionProtectionEnabled": ["true"]},
        {"identifier": "y" * 26, "kmsEncryptionKey": "k"},
    )
    assert taken == {"identifier": "x" * 26, "kmsEncryptionKey": "k"}


def test_unknown_members_and_nulls_are_dropped_at_every_level() -> None:
    assert CREATE_CLUSTER.input is not None
    body = {
        "future": 1,
        "policy": None,
        "metricGroups": [{"metricGroup": "STATEMENT_STATISTICS", "future": {}}],
        "multiRegionProperties": {"future": 1, "witnessRegion": None},
    }
    assert gather(CREATE_CLUSTER.input, {}, {}, body) == {
        "metricGroups": [{"metricGroup": "STATEMENT_STATISTICS"}],
        "multiRegionProperties": {},
    }
