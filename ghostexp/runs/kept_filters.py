"""What a trained network keeps when its convolutions become Ghost modules, before and after tuning.

It compares `init=filters`, which takes over what trained filters can give, with new weights. Before
tuning, the batch norms are also measured once more, because they have statistics of dense maps.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.data.datamodule import ClassificationData
from ghostexp.data.draws import Place
from ghostexp.models.convert import convert_to_ghost

NORM_BATCHES = 20  # whose statistics batch norms take before tuning


@dataclass(frozen=True)
class Kept:
    """Test images that a network gets right, of how many, at one moment."""

    network: str
    moment: str
    params: int
    right: int
    images: int


def measure_kept_filters(
    dense: nn.Module,
    data: ClassificationData,
    *,
    ratio: int,
    epochs: int,
    learning_rates: Sequence[float],
    test_images: int,
    say: Callable[[Kept], None],
) -> None:
    """Give `say` a row for the dense network and for both conversions, each tuned at each rate."""
    data.setup("fit")
    test = data.drawn_dataloader(data.labelled_set.test, test_images)
    batches = [(data.augment.evaluate(images), labels) for images, labels in test]

    def row(network: str, moment: str, net: nn.Module) -> None:
        params = sum(parameter.numel() for parameter in net.parameters())
        right, images = _count_right(net, batches)
        say(Kept(network, moment, params, right, images))

    row("dense", "as trained", dense)
    for init in ("filters", "fresh"):
        torch.manual_seed(0)
        net = convert_to_ghost(
            deepcopy(dense), ratio, only=["*"], image_size=data.input_shape[-1], init=init
        )
        row(init, "converted", net)
        measure_norms(net, data)
        row(init, "its batch norms measured again", net)
        for rate in learning_rates:
            tuned = deepcopy(net)
            for epoch in range(epochs):
                tune(tuned, data, epoch, epochs, rate)
            row(init, f"tuned {epochs} epochs of {data.num_train} images, rate {rate:g}", tuned)


def measure_norms(net: nn.Module, data: ClassificationData) -> None:
    """Give the batch norms of `net` the statistics of some training images, all alike in weight."""
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
    net.train()
    loader = data.drawn_dataloader(data.train, NORM_BATCHES * data.batch_size)
    with torch.no_grad():
        for images, _ in loader:
            net(data.augment.evaluate(images))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def tune(net: nn.Module, data: ClassificationData, epoch: int, epochs: int, rate: float) -> None:
    """One of `epochs` of SGD with momentum, whose rate falls to 0 in a straight line over all."""
    loader = data.train_dataloader()
    loader.sampler.set_epoch(epoch)
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=1e-4)
    net.train()
    for step, (images, labels) in enumerate(loader):
        done = (epoch + step / len(loader)) / epochs
        optimizer.param_groups[0]["lr"] = rate * (1 - done)
        inputs, targets = data.augment.train(images, labels, Place(data.seed, epoch, batch=step))
        optimizer.zero_grad()
        cross_entropy(net(inputs), targets).backward()
        optimizer.step()


@torch.no_grad()
def _count_right(net: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> tuple[int, int]:
    net.eval()
    right = sum(int((net(images).argmax(1) == labels).sum()) for images, labels in batches)
    return right, sum(len(labels) for _, labels in batches)
