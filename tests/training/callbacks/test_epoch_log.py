"""One line per epoch, with what this epoch used and reached."""

import csv
import re
from math import cos, pi

import pytest
from torch import tensor

from ghostexp.training.callbacks.epoch_log import line
from ghostexp.training.callbacks.learning_rate import rates

LINE = re.compile(
    r"epoch (\d) of 4: loss ([\d.]+) acc ([\d.]+) %(?:, val loss ([\d.]+) acc ([\d.]+) %)?,"
    r" lr ([\d.]+), [\d,]+ images/s"
)


def epochs_of(folder):
    """Last value of each metric by epoch, as metrics.csv has them."""
    found = {}
    for row in csv.DictReader((folder / "metrics.csv").read_text().splitlines()):
        found.setdefault(int(row["epoch"]), {}).update({k: float(row[k]) for k in row if row[k]})
    return found


@pytest.mark.parametrize("log_every", [1, 3, 50])
def test_each_epochs_line_says_its_own_values(small_run, log_every):
    every = [f"trainer.log_every_n_steps={log_every}", "+trainer.check_val_every_n_epoch=2"]
    folder = small_run("trainer.max_epochs=4", "optimizer.lr=0.08", *every)
    lines = LINE.findall((folder / "train.log").read_text())
    assert [int(epoch) for epoch, *_ in lines] == [1, 2, 3, 4]
    written = epochs_of(folder)
    for epoch, (_, loss, acc, val_loss, val_acc, lr) in enumerate(lines):
        rate = 0.08 * 0.5 * (1 + cos(pi * epoch / 4))  # of a cosine over four epochs
        assert float(lr) == pytest.approx(rate, rel=1e-3)
        assert written[epoch]["train/lr"] == pytest.approx(rate, rel=1e-5)
        assert float(loss) == pytest.approx(written[epoch]["train/loss"], rel=1e-3)
        assert float(acc) == pytest.approx(100 * written[epoch]["train/acc"], abs=0.01)
        if epoch in (1, 3):  # the others are not validated
            assert float(val_loss) == pytest.approx(written[epoch]["val/loss"], rel=1e-3)
            assert float(val_acc) == pytest.approx(100 * written[epoch]["val/acc"], abs=0.01)
        else:
            assert val_acc == ""


def test_a_schedule_that_moves_every_batch_logs_the_last_rate_used(small_run):
    folder = small_run("trainer.max_epochs=2", "sched=warmup_cosine", "optimizer.lr=0.08")
    written = epochs_of(folder)
    # four steps, of which a warm-up of 5 % takes none; an epoch ends after steps 1 and 3
    for epoch, step in ((0, 1), (1, 3)):
        rate = 0.08 * 0.5 * (1 + cos(pi * step / 4))
        assert written[epoch]["train/lr"] == pytest.approx(rate, rel=1e-5)


def test_detectors_and_foreign_tasks_have_a_line_too():
    assert line(
        {"train/loss": tensor(2.0), "train/loss_rpn": tensor(1.0), "val/map": tensor(0.25)}
    ) == ("loss 2, val map 25.00 %")
    assert line({"train/error": tensor(0.5), "val/f1": tensor(0.125)}) == "error 0.5, val f1 0.125"


def test_groups_that_start_differently_have_two_rates():
    same = [{"lr": 0.0, "initial_lr": 0.1}, {"lr": 0.0, "initial_lr": 0.1}]
    assert rates(same) == {"train/lr": 0.0}
    layers = [{"lr": 0.2, "initial_lr": 0.4}, {"lr": 0.05, "initial_lr": 0.1}]
    assert rates(layers) == {"train/lr": 0.2, "train/lr_smallest": 0.05}
    assert rates([{"lr": 0.0, "initial_lr": 0.4}, {"lr": 0.0, "initial_lr": 0.1}]).keys() == {
        "train/lr",
        "train/lr_smallest",
    }
