"""Lists of permitted differences: every difference must be listed, and every listed one must occur."""

from __future__ import annotations

import pytest

from tests.sameness.permitted import Difference, MalformedListError, differences_between, judge, parse_permitted

LEFT = "a\nb\nc\nd\n"
RIGHT = "a\nB\nc\nd\nextra\n"
LISTED = """
reason: letters are larger here
-b
+B

# a remark
reason: a line more
+extra
"""


def test_differences_are_found_in_order() -> None:
    assert differences_between(LEFT, RIGHT) == [Difference(("b",), ("B",)), Difference((), ("extra",))]


def test_equal_transcripts_need_no_list() -> None:
    assert judge(LEFT, LEFT, parse_permitted("")) == ""


def test_a_listed_difference_is_permitted() -> None:
    assert judge(LEFT, RIGHT, parse_permitted(LISTED)) == ""


def test_an_unlisted_difference_is_reported() -> None:
    report = judge(LEFT, RIGHT, parse_permitted("reason: letters\n-b\n+B\n"))
    assert "not permitted (x1):\n+extra" in report
    assert "-b" not in report


def test_a_listed_difference_that_no_longer_occurs_is_reported() -> None:
    assert "did not occur (x1):\n-b\n+B" in judge(LEFT, LEFT, parse_permitted("reason: letters\n-b\n+B\n"))


def test_a_difference_must_occur_as_often_as_listed() -> None:
    left, right = "b\nx\nb\n", "B\nx\nB\n"
    assert judge(left, right, parse_permitted("reason: r\ntimes: 2\n-b\n+B\n")) == ""
    assert judge(left, right, parse_permitted("reason: r\n-b\n+B\n"))
    assert judge(left, right, parse_permitted("reason: r\ntimes: 3\n-b\n+B\n"))


@pytest.mark.parametrize(
    "text", ["-b\n+B\n", "reason:\n-b\n+B\n", "reason: only a reason\n", "reason: r\nneither\n-b\n"]
)
def test_a_malformed_list_is_refused(text: str) -> None:
    with pytest.raises(MalformedListError):
        parse_permitted(text)


def test_statements_are_compared_one_by_one() -> None:
    """The second statement's answer is the first one's on the other side: still two differences."""
    script = "select a;\nselect b;\ncopy t from stdin;\n1\n2\n\\.\nselect c;\n"
    left = "select a;\nx\nselect b;\ncopy t from stdin;\nselect c;\nz\n"
    right = "select a;\nselect b;\nx\ncopy t from stdin;\nselect c;\nz\n"
    assert differences_between(left, right, script) == [Difference(("x",), ()), Difference((), ("x",))]
