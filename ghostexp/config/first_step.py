"""What can be tried once the data are there, before hours of training depend on it."""

import copy

import torch

from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import sentence, users_mistakes
from ghostexp.tasks import ClassificationTask
from ghostexp.training.callbacks import ChecksExamples


def check_examples(parts: Parts, num_test: int) -> None:
    """`UserError` where a callback needs test examples that the data do not have."""
    for callback in parts.trainer.callbacks:
        if isinstance(callback, ChecksExamples):
            with users_mistakes("callbacks"):
                callback.check_examples(num_test)


def check_first_step(parts: Parts, batch_size: int) -> None:
    """`UserError` where network or loss refuse a training batch of `batch_size` examples.

    At most two examples are tried: one is what a batch norm may refuse. The network stays as it is,
    and no random numbers are used up. A detector is not tried, because it enlarges its images, so
    that a trial takes seconds.
    """
    task = parts.task
    if not isinstance(task, ClassificationTask):
        return
    count, shape = min(batch_size, 2), parts.datamodule.input_shape
    trial = copy.deepcopy(task).train()
    eager = torch.compiler.set_stance("force_eager")  # compiling takes minutes
    with torch.random.fork_rng(devices=[]), torch.no_grad(), eager:
        images = torch.rand(count, *shape)
        try:
            value = trial.trial_loss(images)
        except (RuntimeError, ValueError, TypeError, IndexError) as error:
            size = "x".join(map(str, shape))
            examples = "one example, the last batch of an epoch," if count == 1 else "two examples"
            raise UserError(
                f"a training step on {examples} of {size} fails: {sentence(error)}"
            ) from error
    if value.ndim:
        raise UserError(f"task.loss gives a tensor of shape {tuple(value.shape)}, not one number")
