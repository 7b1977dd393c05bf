"""Images as one uint8 tensor, the order of an epoch's batches, and the loader that gathers them.

The order follows from (seed, epoch) alone, whatever the global generators did before. Images are
[N, C, H, W] in channels_last memory: pixels lie as [N, H, W, C], as decoders write them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

TEST_SHARE = 0.2  # of each class, where a data set brings no test split
SPLIT_SEED = 0  # of that split; not the run's: every run is tested on the same images

Batch = tuple[Tensor, Tensor]


class Images(Protocol):
    """Anything that turns an index tensor [B] into uint8 images [B, C, H, W]."""

    num_workers: int  # processes that read ahead, on one machine
    random: bool  # whether an image is another one each time, by torch's generator

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> Tensor: ...


class InMemory:
    """Images from `pixels` uint8 [N, H, W, C]."""

    num_workers = 0
    random = False

    def __init__(self, pixels: Tensor) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.pixels.index_select(0, indices).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class ImageSet:
    """All images of a data set with their labels [N]; its splits are index tensors into them.

    `train_images` are the same images as training reads them, where that differs.
    """

    images: Images
    labels: Tensor
    class_names: list[str]
    train: Tensor
    val: Tensor
    test: Tensor
    train_images: Images | None = None


def epoch_generator(*entropy: int) -> torch.Generator:
    """CPU generator whose state follows from whole numbers such as (seed, epoch, rank)."""
    sequence = np.random.SeedSequence([len(entropy), *entropy])  # else (1,) and (1, 0) are one
    state = sequence.generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def stratified_split(
    indices: Tensor, labels: Tensor, *, share: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Split `indices` into (the rest, a share of each class), both sorted; at least one each."""
    generator = epoch_generator(seed)
    held_out = []
    for label in labels[indices].unique():
        members = indices[labels[indices] == label]
        count = max(1, round(share * len(members)))
        if count == len(members):
            raise ValueError(
                f"a share of {share} cannot be held out of class {int(label)}, which has"
                f" {len(members)} images: none would be left to train on"
            )
        held_out.append(members[torch.randperm(len(members), generator=generator)[:count]])
    held = torch.cat(held_out).sort().values
    return indices[~torch.isin(indices, held)], held


class EpochOrder(Sampler[Tensor]):
    """Batches of `indices` for one process, an index tensor each.

    Shuffled (training): the permutation follows from (seed, epoch). Global batch b, that is
    `batch_size * world_size` indices, is dealt out as [rank::world_size]: the processes together
    see what one process with the global batch sees. At most world_size - 1 indices an epoch are
    left over. A last batch of one image joins the batch before: batch norm needs two.
    Not shuffled (evaluation): every index once over all processes, in order, in as many batches in
    each, because they wait for each other; the last may hold one more than `batch_size`.
    """

    def __init__(
        self,
        indices: Tensor,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__()
        if len(indices) < world_size:
            raise ValueError(f"{len(indices)} examples do not go round {world_size} processes")
        self.indices = indices
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        batches, rest = divmod(len(self.indices) // self.world_size, self.batch_size)
        joins = self.shuffle and rest == 1 and batches > 0
        return batches + (rest > 0 and not joins)

    def __iter__(self) -> Iterator[Tensor]:
        indices = self.indices
        if self.shuffle:
            generator = epoch_generator(self.seed, self.epoch)
            indices = indices[torch.randperm(len(indices), generator=generator)]
        mine = indices[: self._used()][self.rank :: self.world_size]
        last = len(self) - 1
        for batch in range(len(self)):
            start = batch * self.batch_size
            yield mine[start : start + self.batch_size if batch < last else None]

    def _used(self) -> int:
        count = len(self.indices)
        return count - count % self.world_size if self.shuffle else count


class BatchLoader:
    """Batches (images uint8 [B, C, H, W], labels [B]) in the order of `sampler`."""

    def __init__(self, images: Images, labels: Tensor, sampler: EpochOrder) -> None:
        self.images = images
        self.labels = labels
        self.sampler = sampler
        self.batch_sampler = None  # Lightning asks
        self.batch_size = sampler.batch_size
        self.num_workers = ceil(images.num_workers / sampler.world_size)

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        batches = _Batches(self.images, self.labels, (self.sampler.seed, self.sampler.epoch))
        if self.num_workers == 0:
            yield from map(batches.__getitem__, self.sampler)
        else:
            yield from DataLoader(
                batches,
                batch_size=None,  # the sampler's items are whole batches
                sampler=self.sampler,
                num_workers=self.num_workers,
                generator=torch.Generator(),  # leaves the global one alone
            )


class _Batches(Dataset[Batch]):
    """What a worker needs: an index tensor to a batch.

    The draws of random images follow from `entropy` and the batch's first index: they are the same
    in whichever process, and leave the global generator alone.
    """

    def __init__(self, images: Images, labels: Tensor, entropy: tuple[int, int]) -> None:
        self.images = images
        self.labels = labels
        self.entropy = entropy

    def __getitem__(self, indices: Tensor) -> Batch:
        if not self.images.random:
            return self.images[indices], self.labels[indices]
        with torch.random.fork_rng(devices=[]):
            generator = epoch_generator(*self.entropy, int(indices[0]))
            torch.default_generator.set_state(generator.get_state())
            return self.images[indices], self.labels[indices]
