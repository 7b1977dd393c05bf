"""One LightningDataModule for classification: loaders over a labelled set, whatever is in it.

A data set's own part is its `Source` and its augmentation; vision.py and audio.py have the
factories that conf/dataset names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor

from ghostexp.data.balanced import balanced_draw, check_sampler, class_counts
from ghostexp.data.draws import Place
from ghostexp.data.fingerprint import fingerprint
from ghostexp.data.folds import Fold
from ghostexp.data.in_memory import Batch, BatchLoader, EpochOrder, LabelledSet
from ghostexp.data.read_ahead import Loading
from ghostexp.data.splits import grouped_split, stratified_split, warn_of_leakage


@dataclass(frozen=True)
class Source:
    """Where examples come from.

    `load` reads the set; its first call may download or decode. `load_file` reads one file whose
    name ends in one of `extensions`, and gives a raw example of the form that the loaders hold;
    ValueError for a file that it cannot read. `input_shape` is the shape (C, H, W) of an example as
    the network sees it. `has_val` says that the set has a validation split of its own. `fold` is
    the part that `load` holds out of it. `list_classes` gives the names of the classes, where they
    are not fixed, without reading an example.
    """

    load: Callable[[], LabelledSet]
    load_file: Callable[[Path], Tensor]
    extensions: frozenset[str]
    input_shape: tuple[int, int, int]
    has_val: bool = False
    fold: Fold | None = None
    list_classes: Callable[[], list[str]] | None = None
    loading: Loading = Loading()


class BatchAugment(Protocol):
    """Raw examples [B, ...] to the network's inputs [B, C, H, W], on the examples' device."""

    num_channels: int

    def train(self, examples: Tensor, labels: Tensor, place: Place) -> tuple[Tensor, Tensor]: ...

    def evaluate(self, examples: Tensor) -> Tensor: ...

    def picture(self, inputs: Tensor) -> Tensor:
        """Images in [0, 1] to look at, of the network's inputs."""
        ...


class ClassificationData(pl.LightningDataModule):
    """Loaders over a `LabelledSet`, augmented after the transfer to the training device.

    `num_classes` None stands for as many as the data have. `batch_size` is per process. `val_split`
    is the share of each class's training examples that is held out for validation, drawn from
    `seed`. With 0, no validation runs unless the set has a validation split of its own. With
    `keep_groups` whole groups are held out, such as speakers. `sampler="balanced"` draws the
    training examples of all classes equally often.
    """

    def __init__(
        self,
        source: Source,
        *,
        num_classes: int | None,
        batch_size: int,
        val_split: float,
        augment: BatchAugment,
        seed: int,
        keep_groups: bool = False,
        sampler: str | None = None,
    ) -> None:
        super().__init__()
        check_sampler(sampler)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size}")
        if not 0 <= val_split < 1:
            raise ValueError(f"val_split is a share in [0, 1), not {val_split}")
        if augment.num_channels != source.input_shape[0]:
            raise ValueError(
                f"augment.mean and augment.std need a value for each of the"
                f" {source.input_shape[0]} channels, not {augment.num_channels}"
            )
        self.source = source
        self.num_classes = num_classes
        self.input_shape = source.input_shape
        self.batch_size = batch_size
        self.val_split = val_split
        self.augment = augment
        self.seed = seed
        self.keep_groups = keep_groups
        self.sampler = sampler
        validates_fold = source.fold is not None and source.fold.part == "val"
        self.has_validation = val_split > 0 or source.has_val or validates_fold
        self.labelled_set: LabelledSet | None = None
        self.train_order: EpochOrder | None = None

    def list_classes(self) -> list[str]:
        """Names of the classes before `setup`, for data sets whose classes are not fixed."""
        if self.source.list_classes is None:
            raise ValueError("num_classes is fixed for this data set: null cannot be counted")
        return self.source.list_classes()

    def prepare_data(self) -> None:
        """Download or decode, in one process."""
        self._load_once()

    def setup(self, stage: str) -> None:
        """Read the set; where nothing is held out, switch Lightning's validation off."""
        self._load_once()
        if self.trainer is not None and stage == "fit" and not self.has_val:
            self.trainer.limit_val_batches = 0  # an empty list of loaders does it too, and warns

    @property
    def class_names(self) -> list[str]:
        return self.labelled_set.class_names

    @property
    def num_train(self) -> int:
        return len(self.train)

    @property
    def train_counts(self) -> dict[str, int]:
        """Training examples of each class, by its name."""
        return class_counts(self.labelled_set.labels[self.train], self.class_names)

    @property
    def num_test(self) -> int:
        return len(self.labelled_set.test)

    @property
    def has_val(self) -> bool:
        return len(self.val) > 0

    @property
    def fold_facts(self) -> dict[str, int | str]:
        """Of a cross-validation: the fold, the number of folds, and the part that the fold is."""
        fold = self.source.fold
        return {"fold": fold.index, "folds": fold.count, "fold_part": fold.part} if fold else {}

    @property
    def fingerprint(self) -> str:
        """16 digits that change with any example, any label and the split; known after `setup`."""
        data = self.labelled_set
        split = (data.labels, self.train, self.val, data.test)
        return fingerprint([*data.class_names, *split, *data.examples.content()])

    def train_dataloader(self) -> BatchLoader:
        loader = self._loader(self.train, shuffle=True)
        self.train_order = loader.sampler
        return loader

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        return self._loader(self.val, shuffle=False) if self.has_val else []

    def test_dataloader(self) -> BatchLoader:
        return self._loader(self.labelled_set.test, shuffle=False)

    def predict_dataloader(self) -> BatchLoader:
        return self.test_dataloader()

    def test_example(self, index: int) -> tuple[Tensor, int]:
        """A raw test example and its label, after `setup`; ValueError where there is none."""
        if not 0 <= index < self.num_test:
            raise ValueError(f"index {index}: the test images are 0 to {self.num_test - 1}")
        chosen = self.labelled_set.test[index : index + 1]
        return self.labelled_set.examples[chosen][0], int(self.labelled_set.labels[chosen])

    def drawn_dataloader(self, indices: Tensor, count: int) -> BatchLoader:
        """At most `count` of the examples at `indices`, drawn by the seed; not augmented."""
        generator = torch.Generator().manual_seed(self.seed)
        drawn = torch.randperm(len(indices), generator=generator)[:count]
        return self._loader(indices[drawn], shuffle=False)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch | Tensor:
        """Augment training batches, normalise the others; prediction gets inputs only."""
        examples, labels = batch
        if not self.trainer.training:
            inputs = self.augment.evaluate(examples)
            return inputs if self.trainer.predicting else (inputs, labels)
        epoch, rank = self.trainer.current_epoch, self.trainer.global_rank
        place = Place(self.seed, epoch, rank, self.train_order.done)
        return self.augment.train(examples, labels, place)

    def _load_once(self) -> None:
        if self.labelled_set is not None:
            return
        data = self.source.load()
        if self.num_classes is None:
            self.num_classes = len(data.class_names)
        if len(data.class_names) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, the data has {len(data.class_names)} classes"
            )
        self.train, self.val = data.train, data.val
        if self.val_split > 0:
            self.train, self.val = self._hold_out(data)
        if data.groups is not None:
            warn_of_leakage(data.groups, self.train, {"val": self.val, "test": data.test})
        self.labelled_set = data

    def _hold_out(self, data: LabelledSet) -> tuple[Tensor, Tensor]:
        share = {"share": self.val_split, "seed": self.seed}
        if not self.keep_groups:
            return stratified_split(data.train, data.labels, data.class_names, **share)
        if data.groups is None:
            raise ValueError("keep_groups needs a data set that knows its groups")
        return grouped_split(data.train, data.labels, data.groups, data.class_names, **share)

    def _draw(self, indices: Tensor) -> Callable[[torch.Generator], Tensor] | None:
        """How an epoch of the training examples at `indices` is shuffled, if not at random."""
        if self.sampler:
            return partial(balanced_draw, self.labelled_set.labels[indices])
        shuffle = self.labelled_set.shuffle
        return None if shuffle is None else partial(shuffle, indices)

    def _loader(self, indices: Tensor, *, shuffle: bool) -> BatchLoader:
        labels = self.labelled_set.labels
        order = EpochOrder(
            indices,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
            draw=self._draw(indices) if shuffle else None,
        )
        examples = self.labelled_set.examples
        if shuffle and self.labelled_set.train_examples is not None:
            examples = self.labelled_set.train_examples
        return BatchLoader(
            examples,
            labels,
            order,
            loading=self.source.loading,
            to_gpu=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )
