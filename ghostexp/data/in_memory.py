"""A labelled set and its splits, the order of an epoch's batches, the loader that gathers them.

The order follows from (seed, epoch) alone, whatever the global generators did before. Images are
[N, C, H, W] in channels_last memory: pixels lie as [N, H, W, C], as decoders write them.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from ghostexp.data.draws import drawing_from, epoch_generator
from ghostexp.data.read_ahead import Loading, make_loader, start

Batch = tuple[Tensor, Tensor]
T = TypeVar("T")
STANDARD = Loading()


class Examples(Protocol):
    """Anything that turns an index tensor [B] into raw examples, such as images [B, C, H, W]."""

    num_workers: int  # processes that read ahead, on one machine
    random: bool  # whether an example is another one each time, by torch, numpy or `random`

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Tensor) -> Tensor: ...

    def content(self) -> Iterable[str | Tensor]:
        """What the examples are made of, for their fingerprint."""
        ...


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

    def content(self) -> Iterable[Tensor]:
        return [self.pixels]


@dataclass(frozen=True)
class LabelledSet:
    """All examples of a data set with their labels [N]; its splits are index tensors into them.

    `train_examples` are the same ones as training reads them, where that differs. `groups` [N]
    number what must not be on both sides of a split, such as speakers or recordings. `shuffle`
    draws the positions of an epoch of some indices, where not every order can be read as fast.
    """

    examples: Examples
    labels: Tensor
    class_names: list[str]
    train: Tensor
    val: Tensor
    test: Tensor
    train_examples: Examples | None = None
    groups: Tensor | None = None
    shuffle: Callable[[Tensor, torch.Generator], Tensor] | None = None


class EpochOrder(Sampler[Tensor]):
    """Batches of `indices` for one process, an index tensor each.

    Shuffled (training): the permutation follows from (seed, epoch). Global batch b, that is
    `batch_size * world_size` indices, is dealt out as [rank::world_size]: the processes together
    see what one process with the global batch sees. At most world_size - 1 indices per epoch are
    left over. A last batch of one example joins the batch before: batch norm needs two.
    `draw` gives other positions of `indices` than a permutation, such as classes equally often.
    Not shuffled (evaluation): every index once over all processes, in order, in as many batches in
    each, because they wait for each other; the last may hold one more than `batch_size`.
    A run that is resumed within an epoch gets the batches that the epoch still lacks.
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
        draw: Callable[[torch.Generator], Tensor] | None = None,
    ) -> None:
        super().__init__()
        if len(indices) < world_size:
            raise ValueError(f"{len(indices)} examples are fewer than the {world_size} processes")
        self.indices = indices
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.draw = draw
        self.epoch = 0
        self.done = 0  # batches of this epoch that a loader has handed out
        self.resumed: dict[str, int] = {}

    def state_dict(self) -> dict[str, int]:
        """Where the pass over the data stands."""
        return {"epoch": self.epoch, "done": self.done}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Let the next pass start where `state` stands, if it is of the same epoch."""
        self.resumed = state

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
            indices = indices[self._drawn(epoch_generator(self.seed, self.epoch))]
        mine = indices[: self._used()][self.rank :: self.world_size]
        last = len(self) - 1
        self.done = self.resumed["done"] if self.resumed.get("epoch") == self.epoch else 0
        self.resumed = {}
        for batch in range(self.done, len(self)):
            start = batch * self.batch_size
            yield mine[start : start + self.batch_size if batch < last else None]

    def counting(self, batches: Iterable[T]) -> Iterator[T]:
        """The same `batches`, each counted when it is handed out; processes read more ahead."""
        for batch in batches:
            self.done += 1
            yield batch

    def _drawn(self, generator: torch.Generator) -> Tensor:
        """Positions of the shuffled indices."""
        if self.draw is not None:
            return self.draw(generator)
        return torch.randperm(len(self.indices), generator=generator)

    def _used(self) -> int:
        count = len(self.indices)
        return count - count % self.world_size if self.shuffle else count


class BatchLoader:
    """Batches (raw examples [B, ...], labels [B]) in the order of `sampler`.

    Its state is its sampler's, which Lightning puts into checkpoints. `to_gpu` says that batches go
    to a GPU. Processes that read for a training are kept from epoch to epoch.
    """

    def __init__(
        self,
        examples: Examples,
        labels: Tensor,
        sampler: EpochOrder,
        *,
        loading: Loading = STANDARD,
        to_gpu: bool = False,
    ) -> None:
        self.batches = _Batches(examples, labels, sampler.seed)
        self.sampler = sampler
        self.loading = loading
        self.to_gpu = to_gpu
        self.batch_sampler = None  # Lightning asks
        self.batch_size = sampler.batch_size
        workers = examples.num_workers  # 0 where there is nothing to read
        if workers and loading.num_workers is not None:
            workers = loading.num_workers
        self.num_workers = ceil(workers / sampler.world_size)
        self.state_dict = sampler.state_dict
        self.load_state_dict = sampler.load_state_dict

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        if self.num_workers == 0:
            read = map(self.batches.__getitem__, _Places(self.sampler))
        else:
            read = start(self._reader)
        yield from self.sampler.counting(read)

    @cached_property
    def _reader(self) -> DataLoader:
        return make_loader(
            self.batches,
            _Places(self.sampler),
            num_workers=self.num_workers,
            entropy=(self.sampler.seed, self.sampler.epoch),
            pin_memory=self.loading.pin_memory and self.to_gpu,
            persistent_workers=self.loading.persistent_workers and self.sampler.shuffle,
            prefetch=self.loading.prefetch,
        )


class _Places:
    """The batches of `order`, each with the number of its epoch, which a kept process must hear."""

    def __init__(self, order: EpochOrder) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[int, Tensor]]:
        for indices in self.order:
            yield self.order.epoch, indices


class _Batches(Dataset[Batch]):
    """What a worker needs: from an epoch and an index tensor to a batch.

    The draws of random examples follow from seed, epoch and the batch's first index: they are the
    same in whichever process, and leave the global generators alone.
    """

    def __init__(self, examples: Examples, labels: Tensor, seed: int) -> None:
        self.examples = examples
        self.labels = labels
        self.seed = seed

    def __getitem__(self, place: tuple[int, Tensor]) -> Batch:
        epoch, indices = place
        if not self.examples.random:
            return self.examples[indices], self.labels[indices]
        with drawing_from(self.seed, epoch, int(indices[0])):
            return self.examples[indices], self.labels[indices]
