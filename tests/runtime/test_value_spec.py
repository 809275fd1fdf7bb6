"""The grammar of allowed values: what each specification accepts, and the line for what it does not."""

from __future__ import annotations

import pytest

from src.runtime.value_spec import parse_spec

CASES = [
    # (specification, values that are right, values that are not)
    ("true | false", [True, False], ["true", 1, None, "yes"]),
    ("sum | mean", ["sum"], ["SUM", None, 0, True]),
    ("1 | 3", [1, 3], [2, True, None]),
    ("0..1", [0, 1, 0.5], [-0.1, 1.1, "0.5", None, True, float("nan")]),
    (">0..<1", [0.5], [0, 1]),
    ("1..", [1, 1e9], [0.9, float("inf")]),
    ("..0", [0, -3.5], [0.1, float("-inf")]),
    ("1e-12.. | null", [1e-12, None], [0]),
    ("whole 2..1024", [2, 1024], [1, 1025, 2.0, False]),
    ("seed", [0, 2**63 - 1], [-1, 2**63, 1.5]),
    ("number", [0, -1.5], ["1", True]),
    ("all | whole 2..9 | file", ["all", 2, "paths.csv"], [1, None]),
    ("text | null", ["", "a", None], [5]),
    ("any", ["a", 1, [1], None], []),
    ("some of running | batch", ["running", ["batch", "running"]], [[], ["frozen"], "frozen", None]),
    ("list of whole 1..", [[1, 2], []], [1, [0], "1"]),
    ("null | list of >0..", [None, [0.5]], [[0], 0.5]),
]


@pytest.mark.parametrize(("text", "right", "wrong"), CASES, ids=[text for text, _, _ in CASES])
def test_what_is_accepted(text: str, right: list[object], wrong: list[object]) -> None:
    spec = parse_spec(text)
    assert all(spec.accepts(value) for value in right)
    assert not any(spec.accepts(value) for value in wrong)
    assert all("key" in str(spec.refusal("key", value)) for value in wrong)


@pytest.mark.parametrize(
    ("text", "value", "message"),
    [
        ("true | false", "yes", "key=yes: use true or false"),
        ("sum | mean", "men", "unknown key 'men': the options are sum, mean; did you mean mean?"),
        ("sum | mean | null", "x", "unknown key 'x': the options are sum, mean, null"),
        ("whole 1..", None, "key=null: use a whole number of at least 1"),
        ("0..1 | null", 2, "key=2: use a number from 0 to 1 or null"),
        ("0..<1", 1, "key=1: use a number of at least 0 and below 1"),
        ("..0", 1, "key=1: use a number at most 0"),
        ("all | whole 2..9", "some", "key=some: use all or a whole number from 2 to 9"),
        ("folder | null", 5, "key=5: use a folder or null"),
        ("some of a | b", [], "key is empty: use one or several of a, b"),
        ("some of aa | bb", ["aa", "ab"], "unknown key 'ab': the options are aa, bb"),
        ("list of a | b", "a", "key=a: use a list of values, each a, b"),
    ],
)
def test_the_line_of_a_refusal(text: str, value: object, message: str) -> None:
    assert str(parse_spec(text).refusal("key", value)) == message
