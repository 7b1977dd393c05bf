"""Swept values become what Optuna draws from, and what it draws becomes overrides again."""

import pytest

optuna = pytest.importorskip("optuna")

from ghostexp.config.explain import UserError  # noqa: E402
from ghostexp.sweeps.job import parse  # noqa: E402
from ghostexp.sweeps.space import as_overrides, space_of  # noqa: E402


def ints(low, high, **more):
    return optuna.distributions.IntDistribution(low, high, **more)


def floats(low, high, **more):
    return optuna.distributions.FloatDistribution(low, high, **more)


def one_of(*texts):
    return optuna.distributions.CategoricalDistribution(texts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2,3,4", one_of("2", "3", "4")),
        ("choice(sgd,adam)", one_of("sgd", "adam")),
        ("choice('a b',true)", one_of("a\\ b", "True")),
        ("interval(0.01,0.1)", floats(0.01, 0.1)),
        ("tag(log,interval(0.005,0.2))", floats(0.005, 0.2, log=True)),
        ("int(interval(2,9))", ints(2, 9)),
        ("tag(log,int(interval(1,64)))", ints(1, 64, log=True)),
        ("range(1,10,3)", ints(1, 7, step=3)),
        ("range(32,129,32)", ints(32, 128, step=32)),
        ("range(0,1,0.25)", floats(0, 0.75, step=0.25)),
    ],
)
def test_each_way_of_sweeping_has_its_distribution(value, expected):
    assert space_of(parse([f"key={value}", "seed=3"])) == {"key": expected}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["seed=3"], "a search needs a value to vary"),
        (["key=interval(0.2,0.1)"], r"key=interval\(0.2,0.1\): "),
        (["key=tag(log,interval(0,1))"], "key=tag"),
        (["key=range(0,0)"], "the range holds no value"),
    ],
)
def test_what_no_search_can_vary_is_refused(arguments, sentence):
    with pytest.raises(UserError, match=sentence):
        space_of(parse(arguments))


def test_texts_come_back_as_they_were_given():
    drawn = {"name": "a\\ b", "optimizer.lr": 0.1 + 0.2, "model.ratio": "2"}
    (name, lr, ratio) = parse(as_overrides(drawn))
    assert (name.value(), lr.value(), ratio.value()) == ("a b", 0.1 + 0.2, 2)
