"""Progressive learning: the stages of a training, against the paper's table and formula."""

import logging
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torchvision.ops import StochasticDepth
from torchvision.transforms import v2

from ghostexp.data import Augment, digits
from ghostexp.models import vgg16
from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.tasks import ClassificationTask
from ghostexp.training.callbacks.progressive import ProgressiveLearning
from ghostexp.training.optim import constant, parameter_groups

SPANS = {
    "image_size": [4, 8],
    "dropout": [0.1, 0.3],
    "stochastic_depth": [0.0, 0.2],
    "cutout": [0, 4],
    "mix_alpha": [0.0, 0.2],
}


class Net(nn.Module):
    """A convolution, two rates of stochastic depth, dropout and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.depths = nn.Sequential(StochasticDepth(0.1, "row"), StochasticDepth(0.4, "row"))
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(4, 10)

    def forward(self, images):
        return self.classifier(self.dropout(self.depths(self.conv(images)).mean((2, 3))))


class Watch(pl.Callback):
    """What each epoch trains and validates with."""

    def __init__(self) -> None:
        self.train: list[tuple] = []
        self.val_sizes: set[tuple[int, ...]] = set()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        net, augment = pl_module.net, trainer.datamodule.augment
        alpha = augment.mix.alpha if augment.mix else 0.0
        drops = (net.dropout.p, net.depths[0].p, net.depths[1].p)
        self.train.append((tuple(batch[0].shape[1:]), *drops, augment.cutout, alpha))

    def on_validation_batch_start(self, trainer, pl_module, batch, *args):
        self.val_sizes.add(tuple(batch[0].shape[1:]))


def make_data(image_size=8, mix=None):
    augment = Augment(mean=[0.5], std=[0.5], mix=mix)
    return digits(image_size=image_size, batch_size=8, val_split=0.2, augment=augment, seed=0)


def make_task(net):
    return ClassificationTask(
        net,
        num_classes=10,
        loss=nn.CrossEntropyLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        sched={"scheduler": constant, "interval": "epoch", "frequency": 1},
        param_groups=parameter_groups,
    )


def test_the_stages_of_efficientnet_v2_s():
    progressive = ProgressiveLearning(stages=4, image_size=[128, 300], dropout=[0.1, 0.3])
    values = [progressive.values(stage) for stage in range(4)]
    assert [value["image_size"] for value in values] == pytest.approx(np.linspace(128, 300, 4))
    assert [value["dropout"] for value in values] == pytest.approx(np.linspace(0.1, 0.3, 4))
    assert values[0].keys() == {"image_size", "dropout"}


def test_a_training_grows_images_and_regularisation(tmp_path, caplog):
    watch, progressive = Watch(), ProgressiveLearning(stages=3, **SPANS)
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=6,
        limit_train_batches=1,
        limit_val_batches=1,
        callbacks=[progressive, watch],
    )
    data = make_data(mix=v2.MixUp(num_classes=10, alpha=0.5))
    with caplog.at_level(logging.INFO, "ghostexp.training.callbacks.progressive"):
        trainer.fit(make_task(Net()), datamodule=data)
    expected = [  # shape, dropout, stochastic depth in the proportion 0.1 to 0.4, cutout, alpha
        ((1, 4, 4), 0.1, 0.0, 0.0, 0, 0.0),
        ((1, 6, 6), 0.2, 0.025, 0.1, 2, 0.1),
        ((1, 8, 8), 0.3, 0.05, 0.2, 4, 0.2),
    ]
    assert len(watch.train) == 6
    for epoch, (shape, *numbers) in enumerate(watch.train):
        assert shape == expected[epoch // 2][0]
        assert numbers == pytest.approx(expected[epoch // 2][1:])
    assert watch.val_sizes == {(1, 8, 8)}
    lines = [
        r.getMessage()
        for r in caplog.records
        if r.name == "ghostexp.training.callbacks.progressive"
    ]
    assert len(lines) == 3
    assert lines[1].startswith("epoch 3: stage 2 of 3, image_size 6, dropout 0.2")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"stages": 1}, "stages must be a whole number of at least 2, not 1"),
        ({"image_size": [0, 8]}, "image_size needs two numbers of at least 1"),
        ({"image_size": [8]}, "image_size needs two numbers"),
        ({"dropout": [0, 1]}, "dropout needs two numbers in [0, 1)"),
        ({"cutout": [-1, 2]}, "cutout needs two numbers of at least 0"),
        ({"mix_alpha": ["a", 2]}, "mix_alpha needs two numbers"),
    ],
)
def test_bad_values_are_refused(arguments, sentence):
    with pytest.raises(ValueError, match="two numbers|whole number") as error:
        ProgressiveLearning(**{"image_size": [4, 8], **arguments})
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "net", "sentence"),
    [
        ({"stages": 13}, Net, "13 stages need as many epochs, and max_epochs is 12"),
        ({"image_size": [8, 65]}, Net, r"image_size is \[8, 65\], but the images have 64 pixels"),
        ({"mix_alpha": [0, 1]}, Net, "mix_alpha needs a MixUp or CutMix"),
        ({"dropout": [0, 0.5]}, lambda: vgg16(in_channels=1), "dropout: VGG has none above 0"),
        ({"image_size": [2, 64]}, Net, "stage 1 trains on 2x2 pixels: the network cannot take"),
        (
            {"image_size": [31, 64]},
            lambda: vgg16(in_channels=1),
            "stage 1 trains on 31x31 pixels: VGG's poolings need images of at least 32x32",
        ),
        (
            {"image_size": [32, 64]},
            lambda: ghostnet_v2(10, 1),
            "stage 1 trains on 32x32 pixels: .* use larger images",
        ),
        (
            {"image_size": [32, 64]},
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(64 * 64, 10)),
            "stage 1 trains on 32x32 pixels: the network cannot take",
        ),
    ],
    ids=["epochs", "too_large", "no_mix", "no_dropout", "conv", "vgg", "ghostnet_v2", "fixed_size"],
)
def test_what_has_no_room_for_the_stages_is_one_sentence(arguments, net, sentence):
    trainer = SimpleNamespace(max_epochs=12)
    progressive = ProgressiveLearning(**{"image_size": [48, 64], **arguments})
    task = SimpleNamespace(net=net())
    with pytest.raises(ValueError, match=sentence):
        progressive.check(trainer, task, make_data(image_size=64))
    assert all(module.training for module in task.net.modules())


def test_data_of_another_kind_is_refused():
    waves = SimpleNamespace(augment=object(), input_shape=(1, 64, 100))
    with pytest.raises(ValueError, match="square images .*, not 64x100 and object"):
        ProgressiveLearning(image_size=[4, 8]).check(
            SimpleNamespace(max_epochs=12), SimpleNamespace(net=Net()), waves
        )


def test_a_run_whose_images_get_too_small_ends_before_its_data(app, capfd):
    assert app("callbacks=progressive", "model=vgg16", "dataset=cifar10") == 1
    sentence = "callbacks: image_size: stage 1 trains on 16x16 pixels: VGG's poolings need"
    assert sentence in "".join(capfd.readouterr())
