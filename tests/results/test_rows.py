"""Grouping of runs: swept keys, seeds, mean and spread."""

import pytest

from ghostexp.results.collect import collect
from ghostexp.results.rows import (
    axis_name,
    labels,
    make_rows,
    primary_metric,
    swept_keys,
)


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
    assert second.swept == {"model.ratio": 10}  # after 2: by value, not by letter
    assert second.share("test/acc").std is None


def test_only_finished_runs_count_and_all_are_kept(make_run, rows_of):
    make_run("a", seed=0, acc=0.9)
    make_run("b", seed=1, acc=0.1, status="failed")
    _, (row,) = rows_of()
    assert len(row.runs) == 2
    assert row.share("test/acc").mean == pytest.approx(90)
    assert row.share("test/acc").n == 1


def test_a_run_that_failed_before_its_config_joins_its_seeds(make_run, rows_of):
    make_run("a", seed=0)
    broken = make_run("b", seed=1, status="failed", choices=None, acc=None)
    (broken / ".hydra" / "config.yaml").unlink()
    make_run("c", ratio=3, seed=0)
    _, rows = rows_of()
    assert [len(row.runs) for row in rows] == [2, 1]


def test_the_same_seed_twice_is_no_second_seed(make_run, rows_of):
    make_run("2026-01-01", swept={})
    make_run("2026-01-02", swept={})
    keys, rows = rows_of()
    assert keys == []
    assert len(rows) == 2
    assert labels(rows) == ["[runs/2026-01-01]", "[runs/2026-01-02]"]


def test_runs_that_differ_in_more_than_the_seed_stay_apart(make_run, rows_of):
    make_run("a", seed=0)
    longer = make_run("b", seed=1)
    config = longer / ".hydra" / "config.yaml"
    config.write_text("model: {ratio: 2, cheap_kernel_size: 3}\ntrainer: {max_epochs: 99}\nseed: 1")
    keys, rows = rows_of()
    assert keys == ["model.ratio"]
    assert len(rows) == 2
    assert len(set(labels(rows))) == 2


def test_without_a_record_of_it_the_swept_keys_are_those_that_differ(make_run, rows_of):
    for seed in (0, 1):
        for ratio in (2, 3):
            make_run(f"{ratio},{seed}", ratio=ratio, seed=seed, swept=None)
    keys, rows = rows_of()
    assert keys == ["model.ratio"]
    assert [len(row.runs) for row in rows] == [2, 2]


def test_a_differing_choice_stands_for_the_keys_it_brings(make_run, rows_of):
    dense = {"model": "resnet56", "dataset": "image_folder"}
    make_run("a", ratio=2, swept={})
    make_run("b", ratio=4, swept={})
    folder = make_run("c", swept={}, choices=dense)
    (folder / ".hydra" / "config.yaml").write_text("model: {shortcut: A}\n")
    keys, rows = rows_of()
    assert keys == ["model", "model.ratio"]
    assert labels(rows) == [
        "ghost_resnet56, ratio=2",
        "ghost_resnet56, ratio=4",
        "resnet56",
    ]


def test_copies_of_the_seed_in_the_config_are_no_difference(make_run, rows_of):
    for seed in (0, 1):
        folder = make_run(f"{seed}", seed=seed)
        (folder / ".hydra" / "config.yaml").unlink()
        record = folder / "result.json"
        config = f'"config": {{"seed": {seed}, "callbacks": {{"seed": {seed}}}}}, "swept": '
        record.write_text(record.read_text().replace('"swept": ', config))
    _, rows = rows_of()
    assert [len(row.runs) for row in rows] == [2]


def test_several_experiments_show_their_name(make_run, rows_of):
    make_run("a")
    record = make_run("b") / "result.json"
    record.write_text(record.read_text().replace('"ratio_ablation"', '"readme"'))
    keys, rows = rows_of()
    assert keys == ["name", "model.ratio"]
    assert [row.swept["name"] for row in rows] == ["ratio_ablation", "readme"]


@pytest.mark.parametrize(
    ("metrics", "primary"),
    [
        ([{"test/map": 0.2}, {"test/acc": 0.1}], "test/acc"),
        ([{"test/loss": 1.0, "test/map": 0.2, "test/map_50": 0.4}], "test/map"),
        ([{"test/f1": 1.0, "test/eer": 0.2}, {"train/loss": 1.0}], "test/eer"),
        ([{"train/loss": 1.0}], "test/acc"),
    ],
)
def test_primary_metric(make_run, tmp_path, metrics, primary):
    for number, values in enumerate(metrics):
        make_run(str(number), metrics=values)
    assert primary_metric(collect(tmp_path).runs) == primary


def test_swept_keys_without_seeds_in_order_of_appearance(make_run, tmp_path):
    make_run("a", swept={"sched": "cosine", "seed": 1})
    make_run("b", swept={"model.ratio": 3, "dataset.seed": 2})
    assert swept_keys(collect(tmp_path).runs) == ["sched", "model.ratio"]


def test_axis_names():
    assert axis_name("test/acc") == "test accuracy, %"
    assert axis_name("test/map_50") == "test mAP 50, %"
    assert axis_name("train/loss") == "training loss"
