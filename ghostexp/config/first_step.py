"""The loss of one made-up batch, before hours of training depend on it."""

import copy

import torch

from ghostexp.config.build import Parts
from ghostexp.config.cli import UserError
from ghostexp.config.mistakes import sentence
from ghostexp.tasks import ClassificationTask


def check_first_step(parts: Parts, batch_size: int) -> None:
    """`UserError` where network or loss refuse a training batch of `batch_size` examples.

    More than two examples are not tried: one is what batch norm may refuse. The network stays as it
    is, and no random numbers are used up. A detector is not tried, because its loss needs boxes.
    """
    task = parts.task
    if not isinstance(task, ClassificationTask):
        return
    count, shape = min(batch_size, 2), parts.datamodule.input_shape
    net, loss = copy.deepcopy(task.net).train(), copy.deepcopy(task.loss)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        inputs = torch.rand(count, *shape).to(memory_format=task.memory_format)
        labels = torch.arange(count) % parts.datamodule.num_classes
        try:
            value = loss(net.forward(inputs), labels)  # not compiled: that takes minutes
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            size = "x".join(map(str, shape))
            examples = "one example, the last batch of an epoch," if count == 1 else "two examples"
            raise UserError(
                f"a training step on {examples} of {size} fails: {sentence(error)}"
            ) from error
    if value.ndim:
        raise UserError(f"task.loss gives a tensor of shape {tuple(value.shape)}, not one number")
