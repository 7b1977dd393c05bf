"""Grouping of runs: swept keys, seeds, mean and spread."""

import pytest

from ghostexp.results.collect import collect
from ghostexp.results.rows import make_rows


@pytest.fixture
def rows_of(tmp_path):
    return lambda: make_rows(collect(tmp_path).runs)


def test_seeds_make_one_row_with_mean_and_sample_deviation(make_run, rows_of):
    for seed, acc in enumerate((0.90, 0.92, 0.94)):
        make_run(f"2,{seed}", seed=seed, acc=acc)
    make_run("10,0", ratio=10, acc=0.8)
    keys, (first, second) = rows_of()
    assert keys == ["model.ratio"]
    estimate = first.share("test/acc")
    assert estimate.n == 3
    assert estimate.mean == pytest.approx(92.0)
    assert estimate.std == pytest.approx(2.0)  # sqrt((2^2 + 0 + 2^2) / (3 - 1))
    assert second.values == {"model.ratio": 10}  # after 2: by value, not by letter
    assert second.share("test/acc").std is None


def test_only_finished_runs_count_and_all_are_kept(make_run, rows_of):
    make_run("a", seed=0, acc=0.9)
    make_run("b", seed=1, acc=0.1, status="failed")
    _, (row,) = rows_of()
    assert len(row.runs) == 2
    assert row.share("test/acc").mean == pytest.approx(90)
    assert row.share("test/acc").n == 1


def test_a_failed_run_joins_its_seeds(make_run, rows_of):
    make_run("a", seed=0)
    make_run("b", seed=1, status="failed", acc=None)
    make_run("c", ratio=3, seed=0)
    _, rows = rows_of()
    assert [len(row.runs) for row in rows] == [2, 1]


def test_a_refused_run_of_the_same_seed_splits_no_row(make_run, rows_of):
    for seed in (0, 1, 2):
        make_run(f"{seed}", seed=seed)
    make_run("refused", seed=0, status="failed", acc=None, config={"optimizer.lr": -1})
    _, rows = rows_of()
    assert sorted(len(row.runs) for row in rows) == [1, 3]


def test_the_same_seed_twice_is_no_second_seed(make_run, rows_of):
    make_run("2026-01-01", swept={})
    make_run("2026-01-02", swept={})
    keys, rows = rows_of()
    assert keys == []
    assert len(rows) == 2
    assert [row.label for row in rows] == ["[runs/2026-01-01]", "[runs/2026-01-02]"]


def test_runs_that_differ_in_more_than_the_seed_stay_apart(make_run, rows_of):
    make_run("a", seed=0, config={"trainer.max_epochs": 3})
    make_run("b", seed=1, config={"trainer.max_epochs": 99})
    keys, rows = rows_of()
    assert keys == ["model.ratio", "trainer.max_epochs"]
    assert [row.label for row in rows] == ["ratio=2, max_epochs=3", "ratio=2, max_epochs=99"]


def test_copies_of_the_seed_in_the_config_are_no_difference(make_run, rows_of):
    for seed in (0, 1):
        make_run(f"{seed}", seed=seed, config={"callbacks.order.seed": seed})
    _, rows = rows_of()
    assert [len(row.runs) for row in rows] == [2]


def test_a_row_that_failed_leaves_its_name_to_one_that_did_not(make_run, rows_of):
    make_run("a", ratio=2)
    make_run("b", ratio=3)
    make_run("x", ratio=2, status="failed", acc=None, config={"optimizer.lr": -1})
    _, rows = rows_of()
    assert [row.label for row in rows] == ["ratio=2", "ratio=2 [runs/x]", "ratio=3"]


def test_few_values_name_the_rows_of_mixed_recipes(make_run, rows_of):
    """Those that tell most: of six keys two are enough here."""
    for i in range(8):
        config = {f"task.k{bit}": i >> bit & 1 for bit in range(3)}
        config |= {"optimizer.lr": 0.1 * (1 + i // 2), "optimizer.decay": i % 4}
        make_run(str(i), swept={}, config=config)
    keys, rows = rows_of()
    assert len(keys) == 5
    assert {row.label for row in rows} >= {"lr=0.1, k0=0", "lr=0.1, k0=1", "lr=0.4, k0=1"}
    assert len({row.label for row in rows}) == 8
