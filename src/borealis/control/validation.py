"""Values from outside against the shapes of the model. Pure.

Promises that what it lets through has the types, lengths and characters that the model says, and can be stored: text is
valid UTF-8. Members that the model does not know are dropped, a null is as good as absent, as AWS's services have it.
Everything wrong is reported at once, up to a bound.
"""

import json
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, assert_never

from borealis.control.errors import FieldProblem, cannot_parse, invalid_fields
from borealis.control.shapes import Flag, Instant, Number, Place, Sequence, Shape, Structure, Table, Text

PROBLEMS_MAX: Final = 20
_SHOWN_CHARACTERS_MAX: Final = 128
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)

Fields = dict[str, Any]


def parse_body(body: bytes) -> Fields:
    """A JSON object; nothing is as good as an empty one. Raises ApiError (cannotParse)."""
    if not body.strip():
        return {}
    try:
        value = json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise cannot_parse("The body is not UTF-8.") from None
    except (ValueError, RecursionError):
        raise cannot_parse("The body is not JSON.") from None
    if not isinstance(value, dict):
        raise cannot_parse("The body is not a JSON object.")
    return value


def gather(
    structure: Structure, labels: Mapping[str, str], query: Mapping[str, list[str]], body: Mapping[str, Any]
) -> Fields:
    """The members of an operation's input, each from its place in the request: `labels` from the path by name of the
    member, `query` by name of the parameter. Raises ApiError if the input breaks the model."""
    problems: list[FieldProblem] = []
    values: Fields = {}
    for name, member in structure.members.items():
        match member.place:
            case Place.BODY:
                value = body.get(name)
            case Place.PATH:
                value = labels.get(name)
            case Place.QUERY:
                value = _from_query(name, member.shape, query.get(member.name or name), problems)
        if value is not None:
            values[name] = value
    checked, found = check_structure(structure, values)
    problems += found
    if problems:
        raise invalid_fields(problems[:PROBLEMS_MAX])
    return checked


def check_structure(structure: Structure, value: Mapping[str, Any], way: str = "") -> tuple[Fields, list[FieldProblem]]:
    """What the structure knows of the value, and everything that is wrong with that."""
    taken: Fields = {}
    problems: list[FieldProblem] = []
    for name, member in structure.members.items():
        found = value.get(name)
        at = f"{way}.{name}" if way else name
        if found is not None:
            taken[name] = _known(member.shape, found)
            problems += _problems(member.shape, found, at)
        elif member.is_required:
            problems.append(FieldProblem(at, _broken(None, at, "Member must not be null")))
    return taken, problems


def _known(shape: Shape, value: Any) -> Any:
    """Without the members of nested structures that the model does not know. The value may still be wrong."""
    if isinstance(shape, Structure) and isinstance(value, dict):
        return {
            name: _known(member.shape, value[name])
            for name, member in shape.members.items()
            if value.get(name) is not None
        }
    if isinstance(shape, Sequence) and isinstance(value, list):
        return [_known(shape.member, item) for item in value]
    return value


def _problems(shape: Shape, value: Any, at: str) -> Iterator[FieldProblem]:
    match shape:
        case Text():
            yield from _text_problems(shape, value, at)
        case Number():
            yield from _number_problems(shape, value, at)
        case Flag():
            if not isinstance(value, bool):
                yield _wrong_type(at, "a boolean")
        case Instant():
            if isinstance(value, bool) or not isinstance(value, int | float):
                yield _wrong_type(at, "a number of seconds")
        case Sequence():
            yield from _sequence_problems(shape, value, at)
        case Table():
            yield from _table_problems(shape, value, at)
        case Structure():
            if isinstance(value, dict):
                yield from check_structure(shape, value, at)[1]
            else:
                yield _wrong_type(at, "an object")
        case _:
            assert_never(shape)


def _text_problems(shape: Text, value: Any, at: str) -> Iterator[FieldProblem]:
    if not isinstance(value, str):
        yield _wrong_type(at, "a string")
        return
    if not _is_storable(value):
        yield FieldProblem(at, f"Value at '{at}' failed to satisfy constraint: Member must be valid UTF-8")
        return
    length = len(value)
    if shape.characters_min is not None and length < shape.characters_min:
        yield _problem(value, at, f"Member must have length greater than or equal to {shape.characters_min}")
    if shape.characters_max is not None and length > shape.characters_max:
        yield _problem(value, at, f"Member must have length less than or equal to {shape.characters_max}")
    if shape.pattern is not None and not _compiled(shape.pattern).fullmatch(value):
        yield _problem(value, at, f"Member must satisfy regular expression pattern: {shape.pattern}")
    if shape.values and value not in shape.values:
        yield _problem(value, at, f"Member must satisfy enum value set: [{', '.join(shape.values)}]")


def _number_problems(shape: Number, value: Any, at: str) -> Iterator[FieldProblem]:
    if isinstance(value, bool) or not isinstance(value, int):
        yield _wrong_type(at, "an integer")
        return
    if shape.minimum is not None and value < shape.minimum:
        yield _problem(value, at, f"Member must have value greater than or equal to {shape.minimum}")
    if shape.maximum is not None and value > shape.maximum:
        yield _problem(value, at, f"Member must have value less than or equal to {shape.maximum}")


def _sequence_problems(shape: Sequence, value: Any, at: str) -> Iterator[FieldProblem]:
    if not isinstance(value, list):
        yield _wrong_type(at, "a list")
        return
    yield from _count_problems(shape, len(value), at)
    for number, item in enumerate(value):
        place = f"{at}[{number}]"
        if item is None:
            yield FieldProblem(place, _broken(None, place, "Member must not be null"))
        else:
            yield from _problems(shape.member, item, place)


def _table_problems(shape: Table, value: Any, at: str) -> Iterator[FieldProblem]:
    if not isinstance(value, dict):
        yield _wrong_type(at, "an object")
        return
    yield from _count_problems(shape, len(value), at)
    for key, item in value.items():
        place = f"{at}.{_shown(key)}"
        for problem in _text_problems(shape.key, key, place):
            yield FieldProblem(problem.name, f"Map keys must satisfy the constraints of a key: {problem.message}")
        if item is None:
            yield FieldProblem(place, _broken(None, place, "Member must not be null"))
        else:
            yield from _text_problems(shape.value, item, place)


def _count_problems(shape: Sequence | Table, count: int, at: str) -> Iterator[FieldProblem]:
    if shape.count_min is not None and count < shape.count_min:
        yield _problem(f"{count} members", at, f"Member must have length greater than or equal to {shape.count_min}")
    if shape.count_max is not None and count > shape.count_max:
        yield _problem(f"{count} members", at, f"Member must have length less than or equal to {shape.count_max}")


def _from_query(name: str, shape: Shape, texts: list[str] | None, problems: list[FieldProblem]) -> Any:
    """A parameter of the query has no type of its own: it takes that of the member."""
    if texts is None:
        return None
    if isinstance(shape, Sequence):
        return texts
    if len(texts) > 1:
        problems.append(FieldProblem(name, f"Value at '{name}' failed to satisfy constraint: Member must occur once"))
        return None
    if isinstance(shape, Number):
        if not _INTEGER.fullmatch(texts[0]):
            problems.append(_wrong_type(name, "an integer"))
            return None
        return int(texts[0])
    return texts[0]


def _is_storable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell
        return False
    return "\0" not in text


def _wrong_type(at: str, wanted: str) -> FieldProblem:
    return FieldProblem(at, f"Value at '{at}' failed to satisfy constraint: Member must be {wanted}")


def _problem(value: object, at: str, rule: str) -> FieldProblem:
    return FieldProblem(at, _broken(value, at, rule))


def _broken(value: object, at: str, rule: str) -> str:
    shown = "null" if value is None else f"'{_shown(str(value))}'"
    return f"Value {shown} at '{at}' failed to satisfy constraint: {rule}"


def _shown(text: str) -> str:
    """What a stranger sent, short and encodable."""
    cut = text if len(text) <= _SHOWN_CHARACTERS_MAX else f"{text[:_SHOWN_CHARACTERS_MAX]}…"
    return cut.encode("utf-8", "replace").decode("utf-8")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


@lru_cache(maxsize=64)  # as many as the model has patterns, and more
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)
