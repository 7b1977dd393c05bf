"""Callbacks that Lightning lacks."""

import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ghostexp.pictures.confusion import confusion_figure, write_confusion
from ghostexp.training.callbacks import MarginWarmup, SeedBatches, Throughput
from ghostexp.training.losses import ArcFace


def draws(hook, *, seed=0, epoch=3, rank=0, batch=()):
    trainer = SimpleNamespace(current_epoch=epoch, global_rank=rank, global_step=7)
    module = SimpleNamespace(device=torch.device("cpu"))
    getattr(SeedBatches(seed), hook)(trainer, module, *batch)
    return random.random(), np.random.rand(), torch.rand(()).item()


def test_what_a_batch_draws_follows_from_seed_epoch_rank_and_batch():
    def of_batch(index, **place):
        return draws("on_train_batch_start", batch=(None, index), **place)

    assert of_batch(5) == of_batch(5)
    different = [of_batch(5), of_batch(6), of_batch(5, epoch=4), of_batch(5, seed=1)]
    different += [of_batch(5, rank=1), of_batch(3, epoch=5), of_batch(0)]
    different += [draws(f"on_{loop}_start") for loop in ("train_epoch", "validation", "test")]
    for values in zip(*different, strict=True):
        assert len(set(values)) == 10


def test_throughput_is_the_median_rate_over_epochs():
    throughput = Throughput()
    assert throughput.images_per_s is None
    throughput.rates = [10.0, 30.0, 20.0]
    assert throughput.images_per_s == 20.0


def test_throughput_counts_images_of_all_processes(monkeypatch):
    clock = iter([0.0, 100.0, 101.0, 102.0, 110.0, 111.0, 114.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    throughput = Throughput()
    trainer = SimpleNamespace(world_size=2)
    module = SimpleNamespace(log=lambda *args, **options: None)
    throughput.on_train_start(trainer, module)
    for sizes in ((8, 6), (8, 4)):
        throughput.on_train_epoch_start(trainer, module)
        for size in sizes:
            throughput.on_train_batch_end(trainer, module, None, (torch.zeros(size), None), 0)
        throughput.on_train_epoch_end(trainer, module)
    assert throughput.rates == pytest.approx([14 * 2 / 2.0, 12 * 2 / 4.0])
    assert throughput.images_per_s == pytest.approx(10.0)
    assert throughput.total_images == 26 * 2
    assert throughput.total_seconds == pytest.approx(6.0)


def test_a_margin_rises_with_the_epoch_whatever_was_before():
    warmup = MarginWarmup(margin=0.2, epochs=4)

    def margin(epoch):
        module = SimpleNamespace(loss=ArcFace(margin=0.2))
        warmup.on_train_epoch_start(SimpleNamespace(current_epoch=epoch), module)
        return module.loss.margin

    assert [margin(epoch) for epoch in range(6)] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2, 0.2])
    assert margin(2) == pytest.approx(0.1)  # of a run that is resumed there
    with pytest.raises(ValueError, match="at least 1, not 0"):
        MarginWarmup(margin=0.2, epochs=0)


def test_a_margin_needs_a_loss_that_has_one():
    warmup = MarginWarmup(margin=0.2, epochs=4)
    warmup.check(None, SimpleNamespace(loss=ArcFace(margin=0.2)), None)
    with pytest.raises(ValueError, match="choose task=arcface or task=circle"):
        warmup.check(None, SimpleNamespace(loss=torch.nn.CrossEntropyLoss()), None)


def test_confusion_is_written_with_names_and_accuracies(tmp_path):
    confusion = torch.tensor([[3, 1], [0, 0]])
    write_confusion(tmp_path / "confusion.csv", confusion, ["cat, tabby", "dog"])
    lines = (tmp_path / "confusion.csv").read_text().splitlines()
    assert lines == ['true,"cat, tabby",dog,accuracy', '"cat, tabby",3,1,0.7500', "dog,0,0,0.0000"]


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_confusion_picture_is_drawn_for_any_number_of_classes(tmp_path, classes):
    confusion = np.eye(classes, dtype=int) * 5
    figure = confusion_figure(confusion, [f"class {k}" for k in range(classes)])
    figure.savefig(tmp_path / "confusion.png")
    assert (tmp_path / "confusion.png").stat().st_size > 1000
