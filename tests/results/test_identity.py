"""What of a config decides a result; the rest may differ between two launches of one run."""

import pytest

from ghostexp.results.identity import differences, digest, result_part

CONFIG = {
    "name": "train",
    "seed": 0,
    "logger": {"csv": {"_target_": "ghostexp.training.loggers.MetricsFile"}},
    "callbacks": {
        "progress": {"_target_": "ghostexp.training.callbacks.Progress"},
        "freeze": {"_target_": "ghostexp.training.callbacks.finetune.Freeze", "blocks": 2},
    },
    "trainer": {"max_epochs": 3, "log_every_n_steps": 20},
    "dataset": {"root": "data", "batch_size": 32, "files": {"num_workers": 2, "train": []}},
}


def changed(path, value):
    config = {k: dict(v) if isinstance(v, dict) else v for k, v in CONFIG.items()}
    node, _, key = path.rpartition(".")
    (config[node] if node else config)[key] = value
    return config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "elsewhere"),
        ("logger", None),
        ("callbacks.progress", None),
        ("callbacks.progress", {"_target_": "pytorch_lightning.callbacks.TQDMProgressBar"}),
        ("trainer.log_every_n_steps", 1),
        ("trainer.enable_progress_bar", False),
        ("dataset.root", "/mnt/data"),
        ("dataset.files", {"num_workers": 8, "train": []}),
        ("rerun", True),
    ],
)
def test_presentation_and_place_are_no_part_of_the_result(path, value):
    assert digest(result_part(changed(path, value))) == digest(result_part(CONFIG))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seed", 1),
        ("trainer.max_epochs", 4),
        ("dataset.batch_size", 64),
        ("callbacks.freeze", None),
        ("dataset.files", {"num_workers": 2, "train": ["crop"]}),
    ],
)
def test_what_decides_the_result_is_named_where_it_differs(path, value):
    told = differences(result_part(CONFIG), result_part(changed(path, value)))
    assert told
    assert all(path in each for each in told)
