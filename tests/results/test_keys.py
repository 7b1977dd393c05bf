"""What tells runs apart: swept keys, choices, config keys; never a refused run's mistakes."""

import pytest

from ghostexp.results.collect import collect
from ghostexp.results.keys import swept_keys, telling_keys


@pytest.fixture
def keys_of(tmp_path):
    return lambda: telling_keys(collect(tmp_path).runs)


def test_swept_keys_without_seeds_in_order_of_appearance(make_run, tmp_path):
    make_run("a", swept={"sched": "cosine", "seed": 1})
    make_run("b", swept={"model.ratio": 3, "dataset.seed": 2})
    assert swept_keys(collect(tmp_path).runs) == ["sched", "model.ratio"]


def test_a_swept_key_with_one_value_is_no_key_beside_another(make_run, keys_of):
    for model in ("resnet20", "resnet32"):
        make_run(model, swept={"recipe": "short", "model": model}, choices={"model": model})
    assert keys_of() == ["model"]


def test_without_a_record_of_it_the_swept_keys_are_those_that_differ(make_run, keys_of):
    for seed in (0, 1):
        for ratio in (2, 3):
            make_run(f"{ratio},{seed}", ratio=ratio, seed=seed, swept=None)
    assert keys_of() == ["model.ratio"]


def test_a_differing_choice_stands_for_the_keys_it_brings(make_run, keys_of):
    make_run("a", ratio=2, swept={})
    make_run("b", ratio=4, swept={})
    dense = {"model": "resnet56", "dataset": "image_folder"}
    make_run("c", swept={}, choices=dense, config={"model.shortcut": "A", "model.ratio": None})
    assert keys_of() == ["model", "model.ratio"]


def test_a_choice_that_a_swept_one_brings_is_no_key(make_run, keys_of):
    for suspect, task in (("none", "arcface"), ("cross_entropy", "classification")):
        choices = {"model": "ghostnet", "suspect": suspect, "task": task}
        make_run(suspect, swept={"suspect": suspect}, choices=choices, config={"task.name": task})
    assert keys_of() == ["suspect"]


def test_a_choice_that_changes_nothing_of_the_result_is_no_key(make_run, keys_of):
    for number, (callbacks, logger) in enumerate((("default", "default"), ("quiet", "none"))):
        choices = {"model": "ghostnet", "callbacks": callbacks, "logger": logger}
        make_run(str(number), choices=choices, config={"callbacks.best.monitor": "val/acc"})
    assert keys_of() == ["model.ratio"]


def test_an_interpolated_copy_is_no_second_key(make_run, keys_of):
    for classes in (10, 100):
        config = {"dataset.num_classes": classes, "model.num_classes": classes}
        make_run(str(classes), swept={}, config=config)
    assert keys_of() == ["model.num_classes"]


def test_several_experiments_show_their_name(make_run, keys_of):
    make_run("a")
    make_run("b", name="readme")
    assert keys_of() == ["model.ratio", "name"]


@pytest.mark.parametrize("status", ["failed", "finished"])
def test_a_refused_run_adds_no_key(make_run, keys_of, status):
    """Its config differs in everything; a finished run with such a config adds its keys."""
    for ratio in (2, 3):
        make_run(f"{ratio}", ratio=ratio)
    strange = {f"dataset.key{number}": number for number in range(47)}
    choices = {"model": "resnet20", "dataset": "digits"}
    make_run("bad", status=status, swept={"model.net": 1}, choices=choices, config=strange)
    keys = keys_of()
    assert (keys == ["model.ratio"]) is (status == "failed")


def test_where_all_runs_failed_their_keys_count(make_run, keys_of):
    for ratio in (2, 3):
        make_run(f"{ratio}", ratio=ratio, acc=None, status="failed")
    assert keys_of() == ["model.ratio"]


def kernels(node: str, change: str) -> dict[str, str]:
    return {
        f"callbacks.{node}._target_": "ghostexp.training.callbacks.ChangeNetwork",
        f"callbacks.{node}.change._target_": change,
    }


def test_seeds_that_other_kernels_computed_are_one_row(make_run, keys_of):
    native = kernels("native", "ghostexp.native.NativeStep")
    graph = kernels("graph", "ghostexp.training.cuda_graph.CudaGraph")
    for seed, choice, config in (
        (0, "native", native),
        (1, "cuda_graph", graph),
        (2, "default", {}),
    ):
        choices = {"model": "ghost_resnet56", "callbacks": choice}
        seeded = {"callbacks.seed_batches.seed": seed}
        make_run(str(seed), seed=seed, choices=choices, config=config | seeded)
    assert keys_of() == ["model.ratio"]


def test_kernels_that_computed_the_same_run_are_compared(make_run, keys_of):
    for choice in ("default", "native"):
        config = kernels("native", "ghostexp.native.NativeStep") if choice == "native" else {}
        choices = {"model": "ghost_resnet56", "callbacks": choice}
        config |= {"callbacks.seed_batches.seed": 0}
        make_run(choice, choices=choices, config=config)
    assert keys_of() == ["model.ratio", "callbacks"]


def test_a_network_that_is_changed_otherwise_is_another_one(make_run, keys_of):
    for seed, change in enumerate(("my.Pruning", "ghostexp.native.NativeStep")):
        choices = {"model": "ghost_resnet56", "callbacks": change}
        make_run(change, seed=seed, choices=choices, config=kernels("change", change))
    assert "callbacks" in keys_of()
