"""Values of a settings file are those that Python would compute, without running the file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocks.dcp_compat.python_literals import LONGEST, read_assignments
from blocks.errors import ConfigError, Problem


def value(text: str) -> object:
    """The value of X at the end of the text."""
    return read_assignments(text, "config.py")["X"].value


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read_assignments(text, "config.py")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("X = 'a'", "a"),
        ("X = \"a\" 'b'  # in two parts", "ab"),
        ("X = 3*60", 180),
        ("X = 0*60", 0),
        ("X = -5", -5),
        ("X = 0.10", 0.10),
        ("X = True", True),
        ("X = None", None),
        ("X = ['m5.xlarge', 'c5.xlarge']", ["m5.xlarge", "c5.xlarge"]),
        ("X = ('m5.xlarge',)", ["m5.xlarge"]),
        ("A = 'Lab'\nX = A + 'Queue'", "LabQueue"),
        ("A = 'Lab'\nX = f'{A}_Queue{2}'", "Lab_Queue2"),
        ("CORES = 4\nX = CORES * 1024", 4096),
        ("X = 7 // 2 + 2 ** 3 - 10 % 4", 9),
        ("X = 16 / 4", 4.0),
        ("A = ['a']\nX = A + ['b']", ["a", "b"]),
        ("X: int = 3", 3),
        ("A = X = 3", 3),
        ("X = 1\nX = X + 1", 2),
        ("'''Settings.'''\nX = 1\npass", 1),
        ("\n\n# nothing but remarks\nX = '\\u00b5m'", "µm"),
    ],
)
def test_values_are_those_that_python_would_find(text: str, expected: object) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("import os", "an import"),
        ("from os import path", "an import"),
        ("X = open('x').read()", "a call"),
        ("print('x')", "a call"),
        ("X = __import__('os').system('true')", "a call"),
        ("X = A.upper()", "a call"),
        ("X = A.b", "an attribute"),
        ("X = [a for a in 'ab']", "a loop"),
        ("X = {'a': 1}", "a mapping"),
        ("X = A[0]", "a part of a value"),
        ("X = lambda: 1", "something other"),
        ("X = 1 if A else 2", "a condition"),
        ("if A:\n    X = 1", "a condition"),
        ("for X in 'ab': pass", "a loop"),
        ("def f(): pass", "a function"),
        ("X += 'a'", "a change of a name"),
        ("X, Y = 1, 2", "assigns to something other than a name"),
        ("X = B", "uses B, which is not assigned above"),
        ("X = 'a' * 3", "not a number"),
        ("X = 'a' + 3", "not a number"),
        ("X = A % 3", "not a number"),
        ("X = True + 1", "not a number"),
        ("X = b'a'", "something other"),
        ("X = 1j", "something other"),
        ("X = 1 / 0", "divides by zero"),
        ("X = f'{3:>1000000000}'", "a format"),
        ("X = [[1]]", "a list in a list"),
        ("X = '\\ud800'", "half of a character"),
    ],
)
def test_all_else_is_refused_by_its_line(statement: str, expected: str, tmp_path: Path) -> None:
    text = refusal(f"A = 'Lab'\n\n{statement}\n")
    assert text.startswith("config.py:3: ")
    assert expected in text


def test_nothing_is_run(tmp_path: Path) -> None:
    file = tmp_path / "made"
    refusal(f"X = open({str(file)!r}, 'w')\nY = f'{{open({str(file)!r}, \"w\")}}'")
    assert not file.exists()


@pytest.mark.parametrize(
    "text",
    [
        "X = 9**9**9",
        "X = 2**63",
        "X = 10**30",
        "X = 2**-1",
        "X = (-8)**0.5",
        "X = 1e308 * 10",
        "X = 1e400",
        "X = 123456789012345678901234567890",
        f"X = '{'a' * (LONGEST + 1)}'",
        f"X = [{'1,' * (LONGEST + 1)}]",
        "A = 'a'\n" + "A = A + A\n" * 60,
        "A = ['a']\n" + "A = A + A\n" * 60,
        "A = 'a'\n" + "A = f'{A}{A}{A}'\n" * 60,
        f"A = '{'a' * 9999}'\nX = f'{'{A}' * 20_000}'\n",
        "X = " + "1+" * 200 + "1",
        "X = " + "1+" * 100_000 + "1",
        "X = " + "-" * 10_000 + "1",
        "X = " + "(" * 10_000 + "1" + ")" * 10_000,
        "X = " + "[" * 150 + "]" * 150,
        "X = '" + "a" * 2_000_000 + "'",
        "X = " + "1" * 5000,
        "X = \x00",
        "X = 'open",
        "X = \ud800",
    ],
    ids=range(24),
)
def test_nothing_grows_beyond_the_bounds(text: str) -> None:
    assert refusal(text).startswith("config.py")


def test_every_bad_line_is_reported_but_not_its_consequences() -> None:
    text = refusal("A = f()\nB = A + 'x'\nC = g()\nif B:\n    D = 1\nE = D\n")
    assert [line.split(": ")[0] for line in text.splitlines()] == [
        "config.py:1",
        "config.py:3",
        "config.py:4",
    ]


def test_a_refusal_does_not_repeat_a_possible_secret() -> None:
    text = refusal("AWS_SECRET_ACCESS_KEY = f('wJalrXUtnFEMI')\nB = 'wJalrXUtnFEMI' * 2")
    assert "wJalr" not in text


def test_lines_of_assignments() -> None:
    names = read_assignments("A = 1\nB = A\nA = 2\n\nC = 3\n", "config.py")
    assert (names["A"].line, names["A"].earlier, names["A"].used) == (3, (1,), True)
    assert (names["C"].line, names["C"].earlier, names["C"].used) == (5, (), False)


NUMBERS = st.integers(0, 9).map(str) | st.sampled_from(["0.5", "2.25", "1024"])
SUMS = st.recursive(
    NUMBERS,
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/%"), inner)
        | st.builds("({} // {})".format, inner, inner)
        | st.builds("(-{})".format, inner)
        | st.builds("({} ** {})".format, inner, st.integers(0, 3))
    ),
    max_leaves=8,
)


def problems_of(text: str) -> tuple[Problem, ...]:
    try:
        read_assignments(text, "config.py")
    except ConfigError as error:
        return error.problems
    return ()


@given(SUMS)
def test_sums_are_python_s(text: str) -> None:
    refused = [problem.mistake for problem in problems_of(f"X = {text}")]
    if refused:
        assert refused in (["divides by zero"], ["is too large a number"])
    else:
        assert value(f"X = {text}") == eval(text)


@given(SUMS)
def test_only_a_division_by_zero_divides_by_zero(text: str) -> None:
    refused = any("zero" in problem.mistake for problem in problems_of(f"X = {text}"))
    try:
        eval(text)
    except ZeroDivisionError:
        assert problems_of(f"X = {text}")
    else:
        assert not refused


WORDS = st.sampled_from(
    [
        "A",
        "B",
        " = ",
        "'a'",
        "1",
        "+",
        "*",
        "**",
        "(",
        ")",
        "[",
        "]",
        "\n",
        "f'{A}'",
        "-",
        ",",
        "0x",
    ]
)


@given(st.lists(WORDS, max_size=40).map("".join) | st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    assert all(problem.where.startswith("config.py") for problem in problems_of(text))
