import hashlib
import io
import pickle
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from PIL import Image
from sklearn.datasets import load_digits
from torch import nn
from torchvision.datasets import CIFAR10

from ghostexp.data import Augment, ClassificationData, cifar10, cifar100, digits, image_folder
from ghostexp.data import folder as folders

# torch 2.15 warns of what Lightning 2.6 calls
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

CONF = Path(__file__).parents[2] / "conf" / "dataset"
GREY = {"mean": [0.3], "std": [0.3]}
RGB = {"mean": [0.5] * 3, "std": [0.25] * 3}


class Recorder(pl.LightningModule):
    """Keeps the batches that reach it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen = {"train": [], "val": [], "test": []}

    def training_step(self, batch, batch_idx):
        self.seen["train"].append(batch)
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        self.seen["val"].append(batch)

    def test_step(self, batch, batch_idx):
        self.seen["test"].append(batch)

    def predict_step(self, batch, batch_idx):
        return batch

    def on_train_epoch_start(self):
        torch.rand(3)  # whatever draws from the global generator must not matter

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)

    def images(self, stage: str) -> torch.Tensor:
        return torch.cat([images for images, _ in self.seen[stage]])


def make_trainer(max_epochs: int = 1, **arguments) -> pl.Trainer:
    return pl.Trainer(
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **arguments,
    )


def make_digits(val_split: float = 0.1, seed: int = 0, batch_size: int = 512, **augment):
    return digits(
        image_size=8,
        batch_size=batch_size,
        val_split=val_split,
        augment=Augment(flip=False, **GREY, **augment),
        seed=seed,
    )


def ready(data: ClassificationData) -> ClassificationData:
    data.prepare_data()
    data.setup("fit")
    return data


def write_folder(root, count=6, splits=("train", "test")):
    generator = np.random.default_rng(0)
    for split in splits:
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(256, size=(8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{number}.png")
    return root


def make_folder(root, num_classes=2, val_split=0.0, in_channels=3):
    colours = RGB if in_channels == 3 else GREY
    return image_folder(
        str(root),
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=8,
        batch_size=4,
        val_split=val_split,
        augment=Augment(crop_padding=2, **colours),
        seed=0,
    )


def test_digits_hold_every_image_once_with_its_label():
    data = ready(make_digits())
    images = data.labelled_set
    parts = torch.cat([data.train, data.val, images.test])
    assert sorted(parts.tolist()) == list(range(1797))
    pixels = images.examples[torch.arange(1797)][:, 0].double()
    source = load_digits()
    assert (pixels - torch.from_numpy(source.images) * 255 / 16).abs().max() <= 0.5
    assert images.labels.tolist() == source.target.tolist()
    assert data.class_names == list("0123456789")
    assert data.num_train == len(data.train)


def test_digits_split_is_stratified_and_its_test_the_same_for_every_seed():
    first, second = ready(make_digits(seed=0)), ready(make_digits(seed=1))
    assert torch.equal(first.labelled_set.test, second.labelled_set.test)
    assert not torch.equal(first.val, second.val)
    labels = first.labelled_set.labels
    for held, share in ((first.labelled_set.test, 0.2), (first.val, 0.08)):
        expected = share * labels.bincount()
        assert (labels[held].bincount() - expected).abs().max() <= 1


def test_drawn_examples_are_of_their_split_and_the_same_each_time():
    data = ready(make_digits())
    drawn, again = (list(data.drawn_dataloader(data.val, 20)) for _ in range(2))
    ((examples, labels),) = drawn
    assert torch.equal(examples, again[0][0])
    held_out = data.labelled_set.examples[data.val]
    assert len(examples) == 20
    assert all((example == held_out).flatten(1).all(dim=1).any() for example in examples)
    assert len(labels.unique()) > 5  # not the first ones, which may be of one class
    everything = torch.cat([labels for _, labels in data.drawn_dataloader(data.val, 10**6)])
    assert torch.equal(everything.sort().values, data.labelled_set.labels[data.val].sort().values)


def test_digits_are_resized_to_the_networks_size():
    data = digits(image_size=32, augment=Augment(**GREY), seed=0)
    images, labels = next(iter(ready(data).train_dataloader()))
    assert images.shape == (32, 1, 32, 32)
    assert images.dtype == torch.uint8


def test_training_is_augmented_and_evaluation_never():
    data, task = make_digits(cutout=2), Recorder()
    trainer = make_trainer()
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    predicted = trainer.predict(task, datamodule=data)
    plain = data.augment.evaluate(data.labelled_set.examples[torch.arange(1797)])
    assert torch.equal(task.images("val"), plain[data.val])
    assert torch.equal(task.images("test"), plain[data.labelled_set.test])
    assert torch.equal(torch.cat(predicted), plain[data.labelled_set.test])
    sums = plain[data.train].sum((1, 2, 3)).sort().values
    assert not torch.allclose(task.images("train").sum((1, 2, 3)).sort().values, sums)
    assert sum(len(images) for images, _ in task.seen["train"]) == data.num_train


def test_epoch_follows_from_seed_and_number_also_when_resumed(tmp_path):
    undisturbed = Recorder()
    trainer = make_trainer(max_epochs=3)
    trainer.fit(undisturbed, datamodule=make_digits())
    first = Recorder()
    trainer = make_trainer(max_epochs=1)
    trainer.fit(first, datamodule=make_digits())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    torch.manual_seed(123)
    resumed = Recorder()
    trainer = make_trainer(max_epochs=3)
    trainer.fit(
        resumed, datamodule=make_digits(), ckpt_path=tmp_path / "last.ckpt", weights_only=True
    )
    both = first.seen["train"] + resumed.seen["train"]
    assert len(both) == len(undisturbed.seen["train"]) == 9
    for ours, expected in zip(both, undisturbed.seen["train"], strict=True):
        assert torch.equal(ours[0], expected[0])
        assert torch.equal(ours[1], expected[1])
    assert not torch.equal(both[0][1], both[3][1])


def test_fitting_again_gives_the_same_batches():
    data = make_digits()
    runs = [Recorder(), Recorder()]
    for task in runs:
        make_trainer().fit(task, datamodule=data)
    assert torch.equal(runs[0].images("train"), runs[1].images("train"))


@pytest.mark.parametrize("val_split", [0.0, 0.1])
def test_without_validation_split_lightning_skips_validation(val_split):
    data, task = make_digits(val_split=val_split), Recorder()
    make_trainer().fit(task, datamodule=data)  # warnings are errors
    assert bool(task.seen["val"]) == data.has_val == data.has_validation == (val_split > 0)


def test_two_ranks_split_the_global_batch(monkeypatch):
    alone = ready(make_digits(batch_size=64)).train_dataloader()
    ranks = []
    for rank in (0, 1):
        data = ready(make_digits(batch_size=32))
        monkeypatch.setattr(pl.Trainer, "world_size", 2)
        monkeypatch.setattr(pl.Trainer, "global_rank", rank)
        data.trainer = make_trainer()
        ranks.append(list(data.train_dataloader()))
        assert len(data.test_dataloader().sampler.indices) == 359
    assert len(ranks[0]) == len(ranks[1]) == len(alone)
    for (whole, _), (even, _), (odd, _) in zip(list(alone)[:-1], *ranks, strict=False):
        assert torch.equal(whole[0::2], even)
        assert torch.equal(whole[1::2], odd)


def test_folder_with_val_brings_its_validation(tmp_path):
    data = make_folder(write_folder(tmp_path, splits=("train", "val", "test")))
    assert data.has_validation
    assert ready(data).has_val
    assert (data.num_train, len(data.val)) == (12, 12)
    with pytest.raises(ValueError, match="has a validation part, so val_split must be 0, not 0.1"):
        make_folder(tmp_path, val_split=0.1)


def test_folder_without_val_is_split(tmp_path):
    data = ready(make_folder(write_folder(tmp_path), val_split=0.5))
    assert data.labelled_set.labels[data.val].bincount().tolist() == [3, 3]
    assert data.num_train == 6


def test_grey_folder(tmp_path):
    data = ready(make_folder(write_folder(tmp_path), in_channels=1))
    assert next(iter(data.test_dataloader()))[0].shape == (4, 1, 8, 8)


def test_workers_give_the_batches_that_memory_gives(tmp_path, monkeypatch):
    root = write_folder(tmp_path)
    in_memory, on_disk = Recorder(), Recorder()
    make_trainer(max_epochs=2).fit(in_memory, datamodule=make_folder(root))
    monkeypatch.setattr(folders, "MAX_BYTES_IN_MEMORY", 0)
    data = make_folder(root)
    make_trainer(max_epochs=2).fit(on_disk, datamodule=data)
    assert isinstance(data.labelled_set.examples, folders.ImageFiles)
    assert len(in_memory.seen["train"]) == len(on_disk.seen["train"]) == 6
    for ours, expected in zip(on_disk.seen["train"], in_memory.seen["train"], strict=True):
        assert torch.equal(ours[0], expected[0])
        assert torch.equal(ours[1], expected[1])


def test_workers_leave_the_global_generator_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "MAX_BYTES_IN_MEMORY", 0)
    data = ready(make_folder(write_folder(tmp_path)))
    before = torch.get_rng_state()
    assert len(list(data.train_dataloader())) == 3
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("val_split", [-0.1, 1.0, 1.5])
def test_share_outside_its_range_is_named(val_split):
    with pytest.raises(ValueError, match=rf"val_split is a share in \[0, 1\), not {val_split}"):
        make_digits(val_split=val_split)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_bad_batch_size_is_named(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be .* not {batch_size}"):
        make_digits(batch_size=batch_size)


def test_class_counts_that_differ_are_named(tmp_path):
    data = make_folder(write_folder(tmp_path), num_classes=10)
    with pytest.raises(ValueError, match="num_classes is 10, the data has 2 classes"):
        data.prepare_data()


def test_missing_root_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"root=.*nowhere is no folder"):
        make_folder(tmp_path / "nowhere").prepare_data()
    with pytest.raises(ValueError, match="give dataset.root=FOLDER"):
        image_folder(None, num_classes=2, augment=Augment(**RGB), seed=0)


def test_facts_that_a_set_does_not_have_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"CIFAR-100 are \(100, 3, 32\), not \(10, 3, 32\)"):
        cifar100(str(tmp_path), num_classes=10, augment=Augment(**RGB), seed=0)
    with pytest.raises(ValueError, match="digits are"):
        digits(in_channels=3, augment=Augment(**RGB), seed=0)
    with pytest.raises(ValueError, match="each of the 3 channels, not 1"):
        cifar10(str(tmp_path), augment=Augment(**GREY), seed=0)


@pytest.fixture
def server(tmp_path):
    """Address of a local web server, and the folder that it shows."""
    shown = tmp_path / "shown"
    shown.mkdir()
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(shown)))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}", shown
    http.shutdown()
    http.server_close()


def pack_cifar(shown, monkeypatch, url: str) -> np.ndarray:
    """A tiny archive in CIFAR-10's format, 3 images per batch file; returns the training pixels."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(256, size=(6, 3, 3072), dtype=np.uint8)
    names = [name for name, _ in [*CIFAR10.train_list, *CIFAR10.test_list]]
    files = {
        name: pickle.dumps({"data": part, "labels": [1, 2, 3]})
        for name, part in zip(names, pixels, strict=True)
    }
    files["batches.meta"] = pickle.dumps({"label_names": [f"class {n}" for n in range(10)]})
    archive = shown / CIFAR10.filename
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))

    def checksum(content: bytes) -> str:
        return hashlib.md5(content).hexdigest()

    monkeypatch.setattr(CIFAR10, "url", f"{url}/{CIFAR10.filename}")
    monkeypatch.setattr(CIFAR10, "tgz_md5", checksum(archive.read_bytes()))
    sums = [[name, checksum(files[name])] for name in names]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setitem(CIFAR10.meta, "md5", checksum(files["batches.meta"]))
    return pixels[:5]


def test_cifar_is_downloaded_and_read(server, tmp_path, monkeypatch):
    url, shown = server
    pixels = pack_cifar(shown, monkeypatch, url)
    data = ready(cifar10(str(tmp_path / "cifar"), augment=Augment(**RGB), seed=0))
    assert (data.num_train, len(data.labelled_set.test)) == (15, 3)
    expected = torch.from_numpy(pixels.reshape(15, 3, 32, 32))
    assert torch.equal(data.labelled_set.examples[data.train], expected)
    assert data.labelled_set.labels.tolist() == [1, 2, 3] * 6
    assert data.class_names[3] == "class 3"


@pytest.mark.parametrize("failure", ["wrong content", "no server"])
def test_impossible_download_says_what_to_do(server, tmp_path, monkeypatch, failure):
    url, shown = server
    monkeypatch.setattr(CIFAR10, "url", f"{url}/{CIFAR10.filename}")
    if failure == "wrong content":
        (shown / CIFAR10.filename).write_text("a captive portal's page")
    if failure == "no server":
        monkeypatch.setattr(CIFAR10, "url", f"http://127.0.0.1:9/{CIFAR10.filename}")
    data = cifar10(str(tmp_path / "cifar"), augment=Augment(**RGB), seed=0)
    with pytest.raises(ValueError, match="cannot be downloaded") as caught:
        data.prepare_data()
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in (CIFAR10.url, str(tmp_path / "cifar"), "dataset=image_folder", "dataset=digits"):
        assert part in sentence


@pytest.mark.parametrize("name", ["digits", "cifar10", "cifar100", "image_folder"])
def test_shipped_config_builds_the_data_set(name, tmp_path):
    node = OmegaConf.load(CONF / f"{name}.yaml")
    node.seed = 0
    if "root" in node:
        node.root = str(tmp_path)
    data = instantiate(node, _convert_="all")
    assert isinstance(data, ClassificationData)
    assert data.num_classes == node.num_classes
    assert data.batch_size == node.batch_size
    assert data.has_validation == (node.val_split > 0)
    assert data.augment.flip == (name != "digits")


def test_shipped_statistics_are_those_of_the_digits():
    node = OmegaConf.load(CONF / "digits.yaml").augment
    pixels = load_digits().images / 16
    assert node.mean[0] == pytest.approx(pixels.mean(), abs=0.005)
    data = ready(digits(augment=Augment(mean=list(node.mean), std=list(node.std)), seed=0))
    images = data.augment.evaluate(data.labelled_set.examples[data.train])
    assert float(images.mean()) == pytest.approx(0, abs=0.01)
    assert float(images.std()) == pytest.approx(1, abs=0.01)


def test_a_test_example_by_its_number():
    data = make_digits()
    data.setup("test")
    image, label = data.test_example(data.num_test - 1)
    last = data.labelled_set.test[-1]
    assert torch.equal(image, data.labelled_set.examples[last[None]][0])
    assert label == data.labelled_set.labels[last]
    with pytest.raises(ValueError, match="index 359: the test images are 0 to 358"):
        data.test_example(359)
