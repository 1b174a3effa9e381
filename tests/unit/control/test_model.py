"""The model of the API against the one that boto3 carries: a new release of theirs must not pass unnoticed."""

from collections.abc import Iterator
from typing import Any

import botocore.model
import botocore.session
import pytest

from borealis.control import errors
from borealis.control.model import OPERATIONS, STREAMS
from borealis.control.shapes import (
    Flag,
    Instant,
    Member,
    Number,
    Operation,
    Sequence,
    Shape,
    Structure,
    Table,
    Text,
)

SERVICE = botocore.session.get_session().get_service_model("dsql")
SUPPORTED = [operation for operation in OPERATIONS if operation not in STREAMS]

Described = dict[str, Any]


def describe_theirs(shape: botocore.model.Shape) -> Described:
    metadata: dict[str, Any] = shape.metadata
    bounds = {"min": metadata.get("min"), "max": metadata.get("max")}
    match shape.type_name:
        case "string":
            return {"text": metadata.get("pattern"), **bounds, "enum": list(metadata.get("enum", []))}
        case "integer":
            return {"number": True, **bounds}
        case "boolean":
            return {"flag": True}
        case "timestamp":
            return {"instant": True}
        case "list":
            return {"list": describe_theirs(shape.member), **bounds}
        case "map":
            return {"key": describe_theirs(shape.key), "value": describe_theirs(shape.value), **bounds}
        case "structure":
            assert not shape.metadata.get("union")
            return {name: describe_their_member(shape, name) for name in shape.members}
    raise AssertionError(f"{shape.name}: a {shape.type_name} is new")


def describe_their_member(structure: botocore.model.StructureShape, name: str) -> Described:
    member = structure.members[name]
    serialization = member.serialization
    return {
        "shape": describe_theirs(member),
        "required": name in structure.required_members,
        "place": serialization.get("location", "body"),
        "name": serialization.get("name", name),
        "token": bool(member.metadata.get("idempotencyToken")),
    }


def describe_ours(shape: Shape) -> Described:
    match shape:
        case Text():
            bounds = {"min": shape.characters_min, "max": shape.characters_max}
            return {"text": shape.pattern, **bounds, "enum": list(shape.values)}
        case Number():
            return {"number": True, "min": shape.minimum, "max": shape.maximum}
        case Flag():
            return {"flag": True}
        case Instant():
            return {"instant": True}
        case Sequence():
            return {"list": describe_ours(shape.member), "min": shape.count_min, "max": shape.count_max}
        case Table():
            bounds = {"min": shape.count_min, "max": shape.count_max}
            return {"key": describe_ours(shape.key), "value": describe_ours(shape.value), **bounds}
        case Structure():
            return {name: describe_our_member(name, member) for name, member in shape.members.items()}


def describe_our_member(name: str, member: Member) -> Described:
    return {
        "shape": describe_ours(member.shape),
        "required": member.is_required,
        "place": member.place.value,
        "name": member.name or name,
        "token": member.is_client_token,
    }


def test_every_operation_is_known() -> None:
    assert {operation.name for operation in OPERATIONS} == set(SERVICE.operation_names)
    assert SERVICE.api_version == "2018-05-10"
    assert SERVICE.metadata["protocol"] == "rest-json"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_an_operation_has_its_route(operation: Operation) -> None:
    theirs = SERVICE.operation_model(operation.name)
    assert theirs.http == {"method": operation.method, "requestUri": operation.path, "responseCode": 200}


@pytest.mark.parametrize("operation", SUPPORTED, ids=lambda operation: operation.name)
def test_an_operation_takes_and_gives_the_same(operation: Operation) -> None:
    theirs = SERVICE.operation_model(operation.name)
    assert operation.input is not None
    assert describe_ours(operation.input) == describe_theirs(theirs.input_shape)
    if theirs.output_shape is None:
        assert operation.output is None
    else:
        assert operation.output is not None
        assert describe_ours(operation.output) == describe_theirs(theirs.output_shape)


@pytest.mark.parametrize("operation", SUPPORTED, ids=lambda operation: operation.name)
def test_an_operation_answers_the_same_errors(operation: Operation) -> None:
    theirs = SERVICE.operation_model(operation.name)
    assert set(operation.errors) == {shape.name for shape in theirs.error_shapes}


def every_error() -> Iterator[errors.ApiError]:
    problem = errors.FieldProblem("tags", "wrong")
    yield errors.validation(errors.ValidationReason.OTHER, "text", [problem])
    yield errors.not_found("id", "cluster", "text")
    yield errors.conflict("text", "id", "cluster")
    yield errors.access_denied("text")
    yield errors.quota_exceeded("text", "id", "cluster", "L-1")
    yield errors.throttled("text", "L-2", 1)
    yield errors.internal("text", 1)


@pytest.mark.parametrize("error", list(every_error()), ids=lambda error: error.code)
def test_an_error_has_its_members(error: errors.ApiError) -> None:
    shape = SERVICE.shape_for(error.code)
    assert shape.metadata["error"]["httpStatusCode"] == error.status
    in_header = {name for name, member in shape.members.items() if member.serialization.get("location") == "header"}
    assert {"message", *error.members} == set(shape.members) - in_header
    assert in_header == ({"retryAfterSeconds"} if error.retry_after_s is not None else set())


def test_every_error_was_looked_at() -> None:
    theirs = {shape.name for name in SERVICE.operation_names for shape in SERVICE.operation_model(name).error_shapes}
    assert {error.code for error in every_error()} == theirs


def test_reasons_of_validation_errors_are_theirs() -> None:
    assert list(errors.ValidationReason) == SERVICE.shape_for("ValidationExceptionReason").metadata["enum"]
