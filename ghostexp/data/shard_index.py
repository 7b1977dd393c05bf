"""What lies where in the shards of a data set: two small files beside them.

`index.json` has the names of the classes, the shards with their split, size and number of images,
and the checksum of `samples.npy`. That file has a row for each image: its shard, where its bytes
begin and how many they are, its class, and their CRC-32. `files.txt`, which only people read, names
the file that each image was.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import Any

import numpy as np

from ghostexp.data.stores import Store

FACTS, SAMPLES, FILES = "index.json", "samples.npy", "files.txt"
SCHEMA = 1
SAMPLE = np.dtype(
    [("shard", "<u4"), ("offset", "<u8"), ("length", "<u4"), ("label", "<u4"), ("crc", "<u4")]
)


@dataclass(frozen=True)
class Shard:
    """A tar file of images of one split, train or val."""

    name: str
    split: str
    images: int
    size: int  # bytes


@dataclass(frozen=True)
class ShardIndex:
    """The shards of a data set, and a row of `SAMPLE` for each image in their order."""

    class_names: list[str]
    shards: list[Shard]
    samples: np.ndarray
    seed: int  # of the order in which the images were packed

    @property
    def checksum(self) -> str:
        """SHA-256 of the table of images; it changes with any byte of any of them."""
        return hashlib.sha256(self.samples.tobytes()).hexdigest()

    def splits(self) -> list[str]:
        """The split of each image."""
        return [shard.split for shard in self.shards for _ in range(shard.images)]

    def names_of(self, rows: np.ndarray) -> list[str]:
        """The names of the shards in which these images are."""
        return [self.shards[number].name for number in self.samples["shard"][rows]]

    def files(self) -> dict[str, bytes]:
        """Content of the two files, by their names."""
        table = BytesIO()
        np.save(table, self.samples)
        facts = {
            "schema": SCHEMA,
            "images": len(self.samples),
            "seed": self.seed,
            "samples_sha256": self.checksum,
            "shards": [asdict(shard) for shard in self.shards],
            "classes": self.class_names,
        }
        return {SAMPLES: table.getvalue(), FACTS: (json.dumps(facts, indent=1) + "\n").encode()}


def read_facts(store: Store) -> dict[str, Any]:
    """`index.json` of a folder of shards; ValueError with one sentence where there is no good one.

    Backends of fsspec raise errors of any class, for a missing package, key, bucket or server.
    """
    try:
        content = store.read(FACTS)
    except FileNotFoundError as error:
        raise ValueError(
            f"{store.address} holds no {FACTS}: make shards with `ghostexp pack FOLDER OUT`"
        ) from error
    except Exception as error:
        raise _unreadable(store, error) from error
    try:
        facts = json.loads(content)
        if facts["schema"] != SCHEMA:
            raise ValueError(f"schema {facts['schema']} is not {SCHEMA}")
        facts["shards"] = [Shard(**shard) for shard in facts["shards"]]
        return facts
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{store.address}/{FACTS} is no index of shards: {error!r}") from error


def read_index(store: Store) -> ShardIndex:
    """The index of a folder of shards; ValueError where a shard is missing or cut."""
    facts = read_facts(store)
    again = "pack or copy the folder again"
    try:
        sizes = store.sizes()
        content = store.read(SAMPLES) if SAMPLES in sizes else None
    except Exception as error:  # as above
        raise _unreadable(store, error) from error
    for shard in facts["shards"]:
        if sizes.get(shard.name) != shard.size:
            found = f"{sizes[shard.name]} bytes long" if shard.name in sizes else "missing"
            raise ValueError(
                f"{store.address}/{shard.name} is {found}, and {FACTS} says {shard.size} bytes:"
                f" {again}"
            )
    if content is None:
        raise ValueError(f"{store.address}/{SAMPLES} is missing: {again}")
    try:
        samples = np.load(BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{store.address}/{SAMPLES} is damaged: {again}") from error
    index = ShardIndex(facts["classes"], facts["shards"], samples, facts["seed"])
    if samples.dtype != SAMPLE or index.checksum != facts["samples_sha256"]:
        raise ValueError(
            f"{store.address}/{SAMPLES} is not the file that {FACTS} describes: {again}"
        )
    return index


def _unreadable(store: Store, error: Exception) -> ValueError:
    what = str(error).strip().partition("\n")[0] or type(error).__name__
    return ValueError(f"{store.address} cannot be read: {what}")
