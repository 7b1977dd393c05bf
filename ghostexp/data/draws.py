"""Random draws that follow from whole numbers alone, such as (seed, epoch, batch)."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

AUGMENTATION = 1  # its random stream, apart from the order's


@dataclass(frozen=True)
class Place:
    """Where a training batch stands: all random draws of its augmentation follow from this."""

    seed: int
    epoch: int = 0
    rank: int = 0  # of the process
    batch: int = 0

    def generator(self) -> torch.Generator:
        """CPU generator for the batch, always in the same state."""
        return epoch_generator(self.seed, self.epoch, self.rank, self.batch, AUGMENTATION)


def epoch_generator(*entropy: int) -> torch.Generator:
    """CPU generator whose state follows from whole numbers such as (seed, epoch, rank)."""
    sequence = np.random.SeedSequence([len(entropy), *entropy])  # else (1,) and (1, 0) are one
    state = sequence.generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


@contextmanager
def drawing_from(*entropy: int) -> Iterator[None]:
    """Seed the global CPU generators of torch, numpy and `random`, and put them back afterwards.

    Transforms of images draw from any of the three. What they draw in the block follows from
    `entropy` alone, in whichever process it runs and whatever was drawn before.
    """
    words = np.random.SeedSequence([len(entropy), *entropy]).generate_state(4, np.uint64)
    earlier = random.getstate(), np.random.get_state(), torch.get_rng_state()
    try:
        random.seed(int(words[0]))
        np.random.seed(words[1:3].view(np.uint32))
        torch.default_generator.manual_seed(int(words[3]))  # the devices' generators stay
        yield
    finally:
        random.setstate(earlier[0])
        np.random.set_state(earlier[1])
        torch.set_rng_state(earlier[2])
