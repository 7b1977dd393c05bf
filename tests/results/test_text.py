"""Texts of records: numbers, order, cuts that keep differences, shell quoting."""

import shlex

import pytest

from ghostexp.results.text import (
    as_number,
    cut,
    cut_apart,
    describe,
    natural,
    printable,
    quoted,
    show,
)


def test_natural_order_and_numbers():
    assert sorted(["s=10", "s=2", "s=1.5"], key=natural) == ["s=1.5", "s=2", "s=10"]
    assert as_number("1e-3") == 0.001
    assert as_number("") is None
    assert as_number(True) is None
    assert as_number([1]) is None
    assert as_number("nan") is None
    assert as_number(10**400) is None


def test_values_in_a_cell():
    assert show(1e-05) == "1e-05"
    assert show(None) == ""
    assert show("two\nlines") == "two lines"


def test_description_names_what_does_not_speak_for_itself():
    values = {"model": "vgg16", "model.ratio": 2, "suspect": "none", "a.flip": True, "b": None}
    assert describe(values) == "vgg16, ratio=2, suspect=none, flip=True"


def test_a_cut_lies_in_the_middle():
    assert cut("abc", 3) == "abc"
    assert cut("abcdefghij", 5) == "ab…ij"
    assert cut("abcdefghij", 5, head=0.0) == "…ghij"


@pytest.mark.parametrize(
    "texts",
    [
        ["ghost_efficientnet_v2, lr=0.1, end", "ghost_efficientnet_v2, lr=0.2, end"],
        ["a" * 30 + "x" + "b" * 60, "a" * 30 + "y" + "b" * 60],  # cut where both differ
        ["a" * 30 + "x" + "b" * 300, "a" * 30 + "y" + "b" * 300],
        [f"{'a' * 40}{number}{'b' * 40}" for number in range(60)],
    ],
)
def test_different_texts_stay_different(texts):
    cuts = cut_apart(texts, 24)
    assert len(set(cuts)) == len(texts)
    assert all(len(text) <= 24 for text in cuts)


def test_equal_texts_stay_equal():
    assert cut_apart(["", "", "long enough to be cut"], 9) == ["", "", "long… cut"]


def test_names_that_are_not_utf8():
    assert printable({"a\udcff": ["\udc80", 1, None]}) == {"a\\udcff": ["\\udc80", 1, None]}
    assert printable("ü $x^$") == "ü $x^$"


@pytest.mark.parametrize(
    ("recorded", "words"),
    [
        ("python train.py +a={b:c,d:e} x=1", ["python", "train.py", "+a={b:c,d:e}", "x=1"]),
        ("python train.py 'a b'", ["python", "train.py", "a b"]),  # shlex.join wrote it
        ("python train.py name=it's x", ["python", "train.py", "name=it's", "x"]),
        ('python train.py skip=["a"]', ["python", "train.py", 'skip=["a"]']),
        (
            ["python", "train.py", "name=a b", "x=$HOME"],
            ["python", "train.py", "name=a b", "x=$HOME"],
        ),
    ],
)
def test_commands_mean_to_a_shell_what_was_run(recorded, words):
    assert shlex.split(quoted(recorded)) == words
    assert quoted(quoted(recorded)) == quoted(recorded)
