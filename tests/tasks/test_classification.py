"""The task against formulas computed by hand."""

from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from simple_task import Fixed, make_task, trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ghostexp.tasks import ClassificationTask
from ghostexp.training.losses import ArcFace
from ghostexp.training.optim import cosine


@pytest.fixture
def batches():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(10, 3, 2, 2, generator=generator)
    labels = torch.randint(3, (10,), generator=generator)
    return images, labels


def test_metrics_are_means_over_images_whatever_the_batches(tmp_path, batches):
    images, labels = batches
    task = make_task(Fixed())
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)  # 4, 4, 2
    (found,) = trainer(tmp_path).test(task, loader, verbose=False)
    logits = images[:, :, 0, 0]
    assert found["test/acc"] == pytest.approx((logits.argmax(1) == labels).float().mean().item())
    assert found["test/loss"] == pytest.approx(nn.functional.cross_entropy(logits, labels).item())
    confusion = task.test_confusion.compute()
    for true in range(3):
        for predicted in range(3):
            expected = ((labels == true) & (logits.argmax(1) == predicted)).sum()
            assert confusion[true, predicted] == expected


def test_a_loss_with_nan_in_it_is_nan(tmp_path, batches):
    images, labels = batches
    images[0] = torch.nan
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    (found,) = trainer(tmp_path).test(make_task(Fixed()), loader, verbose=False)
    assert found["test/loss"] != found["test/loss"]


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(label_smoothing=0.2),
        nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 3.0])),
        nn.CrossEntropyLoss(weight=torch.tensor([0.5, 1.0, 3.0]), label_smoothing=0.2),
        nn.MultiMarginLoss(),
    ],
    ids=["smoothing", "weights", "both", "hinge"],
)
def test_the_loss_of_a_split_is_the_tasks_loss_of_all_its_images(tmp_path, batches, loss):
    images, labels = batches
    task = make_task(Fixed(), loss=loss)
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)  # 4, 4, 2
    (found,) = trainer(tmp_path).test(task, loader, verbose=False)
    assert found["test/loss"] == pytest.approx(loss(images[:, :, 0, 0], labels).item(), rel=1e-6)
    (found,) = trainer(tmp_path).validate(task, loader, verbose=False)
    assert found["val/loss"] == pytest.approx(loss(images[:, :, 0, 0], labels).item(), rel=1e-6)


def test_top5_is_counted_where_it_means_something(tmp_path):
    logits = torch.eye(7)[:, :, None, None] + torch.arange(7.0)[None, :, None, None] / 10
    labels = torch.arange(7)
    task = make_task(Fixed(), num_classes=7)
    (found,) = trainer(tmp_path).test(
        task, DataLoader(TensorDataset(logits, labels), batch_size=7), verbose=False
    )
    expected = (logits[:, :, 0, 0].topk(5, dim=1).indices == labels[:, None]).any(1).float().mean()
    assert found["test/acc_top5"] == pytest.approx(expected.item())
    assert "test/acc_top5" not in make_task(Fixed()).logged_metrics


def test_training_metrics_of_an_epoch(tmp_path, batches):
    images, labels = batches
    task = make_task(Fixed())
    task.optimizer = partial(torch.optim.SGD, lr=0.0)
    fit = trainer(tmp_path)
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    fit.fit(task, loader, loader)
    logits = images[:, :, 0, 0]
    found = fit.callback_metrics
    assert found["train/acc"].item() == pytest.approx(
        (logits.argmax(1) == labels).float().mean().item()
    )
    assert found["train/loss"].item() == pytest.approx(
        nn.functional.cross_entropy(logits, labels).item(), rel=1e-5
    )


def test_a_gpu_is_asked_for_its_loss_only_where_the_step_waits(tmp_path, batches, monkeypatch):
    images, labels = batches
    task = make_task(Fixed())
    task.trainer = trainer(tmp_path, log_every_n_steps=20)
    monkeypatch.setattr(ClassificationTask, "device", torch.device("cuda"))
    task.training_step((torch.full_like(images, torch.nan), labels), batch_idx=1)
    task.training_step((images, labels), batch_idx=2)
    steps = task.trainer.fit_loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step
    steps.total.completed = 19  # the next step is logged
    sentence = r"the loss of epoch 1, batch 21 or one before it is not finite \(loss \d"
    with pytest.raises(FloatingPointError, match=sentence):
        task.training_step((images, labels), batch_idx=20)


def test_mixed_targets_train(batches):
    images, labels = batches
    task = make_task(Fixed())
    task.trainer = pl.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    soft = nn.functional.one_hot(labels, 3).float() * 0.7 + 0.1
    loss = task.training_step((images, soft), batch_idx=1)
    expected = -(soft * images[:, :, 0, 0].log_softmax(1)).sum(1).mean()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_a_step_schedule_is_told_the_number_of_steps(tmp_path, batches):
    sched = {"scheduler": partial(cosine, warmup=0.0), "interval": "step", "frequency": 1}
    task = make_task(Fixed(), sched=sched)
    fit = trainer(tmp_path, max_epochs=2)
    loader = DataLoader(TensorDataset(*batches), batch_size=5)
    fit.fit(task, loader, loader)
    assert fit.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)  # 4 steps of 4


def test_one_batch_is_learnt_by_heart(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
    task = make_task(net)
    fit = trainer(tmp_path, max_epochs=150)
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    fit.fit(task, loader, loader)
    assert fit.callback_metrics["train/acc"].item() == 1.0


def test_cosines_are_scaled_for_evaluation_and_have_a_margin_in_training(tmp_path, batches):
    images, labels = batches[0].tanh(), batches[1]
    cosines, loss = images[:, :, 0, 0], ArcFace(margin=0.5, scale=10.0)
    task = make_task(Fixed(), loss=loss, cosines=True)
    loader = DataLoader(TensorDataset(images, labels), batch_size=4)
    (found,) = trainer(tmp_path).test(task, loader, verbose=False)
    expected = nn.functional.cross_entropy(10 * cosines, labels).item()
    assert found["test/loss"] == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(task.predict_step(images, 0), (10 * cosines).softmax(dim=1))
    task.trainer = trainer(tmp_path)
    task.train()
    trained = task.training_step((images, labels), batch_idx=1)
    assert trained.item() == pytest.approx(loss(cosines, labels).item(), rel=1e-5)
    assert trained.item() > expected


def test_memory_format_is_an_option():
    conv = nn.Conv2d(4, 8, 3)
    assert make_task(conv).net.weight.is_contiguous(memory_format=torch.channels_last)
    plain = make_task(nn.Conv2d(4, 8, 3), channels_last=False)
    assert plain.net.weight.is_contiguous()
    assert plain.memory_format == torch.contiguous_format


def test_compiling_keeps_the_names_of_the_weights():
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    assert list(make_task(net, compile=True).state_dict()) == ["net.1.weight", "net.1.bias"]
