"""What the page of hyperparameters compares runs by."""

from ghostexp.training.hyperparameters import hyperparameters

CONFIG = {
    "seed": 3,
    "model": {"ratio": 2, "width_mult": 0.5},
    "optimizer": {"lr": 0.1, "weight_decay": 1e-4},
    "dataset": {"batch_size": 128},
    "trainer": {"max_epochs": 200},
}
CHOICES = {"model": "ghostnet", "dataset": "cifar10", "sched": "cosine", "logger": "default"}


def test_swept_keys_come_first_and_once():
    swept = {"model.width_mult": "0.5", "model.ratio": "2", "sched": "cosine", "model.se": True}
    chosen = hyperparameters(CONFIG, CHOICES, swept)
    assert list(chosen)[:4] == ["model.width_mult", "ratio", "sched", "model.se"]
    assert chosen == {
        "model.width_mult": 0.5,
        "ratio": 2.0,
        "sched": "cosine",
        "model.se": "true",
        "lr": 0.1,
        "batch_size": 128.0,
        "epochs": 200.0,
        "weight_decay": 1e-4,
        "seed": 3.0,
        "model": "ghostnet",
        "dataset": "cifar10",
    }


def test_a_dense_network_has_no_ratio():
    config = CONFIG | {"model": {}}
    assert hyperparameters(config, CHOICES, {})["ratio"] is None
