"""Images in shards, which `ghostexp pack` makes: on this machine or at any address of fsspec.

Each image is read by its place in a tar file, so that the order, the splits, the folds, several
processes and a resume within an epoch work as with every other data set.
"""

from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO

import torch
from joblib import cpu_count
from torch import Tensor

from ghostexp.data.augment import Augment
from ghostexp.data.datamodule import ClassificationData
from ghostexp.data.folder import BadFile, check_size, gathered
from ghostexp.data.folds import chosen_fold
from ghostexp.data.in_memory import STANDARD, LabelledSet
from ghostexp.data.jpeg import log_decoder
from ghostexp.data.read_ahead import Loading
from ghostexp.data.shard_index import ShardIndex, read_facts, read_index
from ghostexp.data.stores import Store, store_of
from ghostexp.data.transformed import FileTransforms, photo_source, read_transformed


class ShardImages:
    """Images decoded whenever they are asked for, a batch of pieces of shards at a time.

    `read` makes an image uint8 [C, H, W] of the bytes of a file; `random` says that it draws random
    numbers.
    """

    def __init__(
        self,
        store: Store,
        index: ShardIndex,
        *,
        read: Callable[[BytesIO], Tensor],
        random: bool,
        num_workers: int | None,
    ) -> None:
        self.store = store
        self.index = index
        self.read = read
        self.random = random
        self.num_workers = cpu_count() if num_workers is None else num_workers

    def __len__(self) -> int:
        return len(self.index.samples)

    def __getitem__(self, indices: Tensor) -> Tensor:
        rows = indices.numpy()
        samples = self.index.samples[rows]
        names = self.index.names_of(rows)
        contents = self._contents(names, samples["offset"].tolist(), samples["length"].tolist())
        return gathered(map(self._image, rows.tolist(), names, contents), len(rows))

    def content(self) -> Iterable[str]:
        return [self.index.checksum]

    def _contents(self, names: list[str], offsets: list[int], lengths: list[int]) -> list[bytes]:
        """Backends of fsspec raise errors of any class where a server does not answer."""
        try:
            return self.store.pieces(names, offsets, lengths)
        except Exception as error:
            raise BadFile(
                f"shards of {self.store.address} cannot be read any more: {error!r}"
            ) from error

    def _image(self, row: int, shard: str, content: bytes) -> Tensor:
        try:
            return self.read(BytesIO(content))
        except BadFile as error:
            raise BadFile(
                f"image {row:08d} of {self.store.address}/{shard} (line {row + 1} of files.txt)"
                f" cannot be read: {error.__cause__}"
            ) from error


def draw_near(shards: Tensor, window: int, indices: Tensor, generator: torch.Generator) -> Tensor:
    """Positions [N] of an epoch of `indices`, which at each moment come from `window` shards.

    `shards` is the shard of each image. They begin one after the other in a random order, and the
    images of each are spread at random over the time in which the next `window` shards begin.
    """
    present, turn = shards[indices].unique(return_inverse=True)
    begins = torch.randperm(len(present), generator=generator)[turn]
    waits = torch.rand(len(indices), generator=generator, dtype=torch.float64)
    return (begins + window * waits).argsort(stable=True)


def load_shards(
    root: str, files: FileTransforms, window: int | None, *, in_channels: int, image_size: int
) -> LabelledSet:
    """Images of a folder of shards; the images of val are the test set."""
    store = store_of(root)
    index = read_index(store)
    read = partial(read_transformed, in_channels=in_channels, image_size=image_size)
    images = partial(ShardImages, store, index, num_workers=files.num_workers)
    is_train = torch.tensor([split == "train" for split in index.splits()])
    shard_of = torch.from_numpy(index.samples["shard"].astype("int64"))
    log_decoder(files.train)
    return LabelledSet(
        images(read=partial(read, transforms=files.evaluate), random=False),
        torch.from_numpy(index.samples["label"].astype("int64")),
        index.class_names,
        train=is_train.nonzero().flatten(),
        val=torch.empty(0, dtype=torch.int64),
        test=(~is_train).nonzero().flatten(),
        train_examples=images(read=partial(read, transforms=files.train), random=True),
        shuffle=None if window is None else partial(draw_near, shard_of, window),
    )


def shards(
    root: str,
    *,
    window: int | None = 16,
    num_classes: int | None = 1000,
    in_channels: int = 3,
    image_size: int = 224,
    batch_size: int = 256,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    files: FileTransforms,
    loading: Loading = STANDARD,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Shards that `ghostexp pack` made, in a folder or at an address such as s3://BUCKET/FOLDER.

    The training images of an epoch are shuffled within a `window` of shards that moves over all of
    them; None shuffles all at once.
    """
    check_size("shards", in_channels, image_size)
    _check_window(window, sampler)
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    form = {"in_channels": in_channels, "image_size": image_size}
    return ClassificationData(
        photo_source(
            partial(load_shards, root, files, window, **form),
            files,
            **form,
            fold=held_out,
            list_classes=lambda: read_facts(store_of(root))["classes"],
            loading=loading,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )


def _check_window(window: int | None, sampler: str | None) -> None:
    if window is not None and (not isinstance(window, int) or window < 1):
        raise ValueError(f"window is a whole number of shards of at least 1, or null, not {window}")
    if window is not None and sampler is not None:
        raise ValueError(
            f"sampler={sampler} draws from all shards at once, and window={window} from a few: give"
            " dataset.window=null, or leave the sampler out"
        )
