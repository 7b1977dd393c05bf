"""The batches that a detector sees: form, order, augmentation, what is left out, wrong values."""

import logging
import shutil
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import pytorch_lightning as pl
import torch
from helpers import ROOT, write_coco
from omegaconf import OmegaConf
from PIL import Image
from torch import nn
from torchvision.transforms import v2

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.data import CocoFiles, Reading, coco_json, rescale
from ghostexp.data.read_ahead import read_ahead

# torch 2.15 warns of what Lightning 2.6 calls
pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")

WIDTH, HEIGHT = 48, 36
CATEGORIES = [{"id": 4, "name": "cell"}, {"id": 9, "name": "spot"}]
FLIP = (v2.RandomHorizontalFlip(1.0),)


def split_content(count, first_id):
    """Images with one white box each; the second without any."""
    images = [
        {"id": first_id + n, "file_name": f"{first_id + n}.png", "width": WIDTH, "height": HEIGHT}
        for n in range(count)
    ]
    annotations = [
        {"id": n, "image_id": first_id + n, "category_id": (4, 9)[n % 2], "iscrowd": 0,
         "bbox": [8 + n % 5, 6 + n % 3, 20, 12]}
        for n in range(count) if n != 1
    ]  # fmt: skip
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Nine images to train on, four to validate, five to test."""
    root = tmp_path_factory.mktemp("boxes")
    for split, count, first in (("train", 9, 100), ("val", 4, 200), ("test", 5, 300)):
        content = split_content(count, first)
        write_coco(root / "annotations" / f"{split}.json", root / "images", content)
    return root


def make(root, *more, choice="coco_json"):
    fixed = [f"dataset.root={root}", "dataset.num_classes=2", "dataset.batch_size=4"]
    cfg = compose_config([f"dataset={choice}", *fixed, *more])
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    return ready(build(cfg.dataset, "dataset"))


def plain(root, *, val="annotations/val.json", batch_size=4, seed=0, num_workers=0, **reading):
    """Data without the transforms of the presets."""
    return ready(
        coco_json(
            str(root),
            files=CocoFiles(val=val),
            num_classes=2,
            batch_size=batch_size,
            reading=Reading(num_workers=num_workers, **reading),
            seed=seed,
        )
    )


def ready(data):
    data.prepare_data()
    data.setup("fit")
    return data


def epoch(data, number=0, loader="train_dataloader"):
    """Images and targets of an epoch, in order."""
    batches = getattr(data, loader)()
    batches.sampler.set_epoch(number)
    images, targets = [], []
    for some, theirs in batches:
        images += some
        targets += theirs
    return images, targets


def ids(targets):
    return [int(target["image_id"]) for target in targets]


def equal(one, other):
    images = all(torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True))
    return images and all(
        torch.equal(a[key], b[key])
        for a, b in zip(one[1], other[1], strict=True)
        for key in ("boxes", "labels", "image_id", "area", "iscrowd")
    )


def white(image):
    """(left, top, right, bottom) of what is nearly as bright as the brightest pixel."""
    bright = image.mean(dim=0) > 0.75 * image.max()
    rows, columns = bright.any(1).nonzero(), bright.any(0).nonzero()
    return torch.stack([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]).flatten().float()


def before(data, target):
    """The box of a training image before any transform."""
    (record,) = (r for r in data.train if r.image_id == int(target["image_id"]))
    return torch.from_numpy(record.boxes[0])


def test_a_batch_of_evaluation(root):
    data = plain(root)
    assert data.class_names == ["cell", "spot"]
    assert (data.num_train, data.has_validation, data.input_shape) == (9, True, (3, 480, 640))
    images, targets = next(iter(data.test_dataloader()))
    assert len(images) == len(targets) == 4
    assert ids(targets) == [300, 301, 302, 303]
    for image, target in zip(images, targets, strict=True):
        assert (image.shape, image.dtype) == ((3, HEIGHT, WIDTH), torch.float32)
        assert (float(image.min()), float(image.max())) == (0, len(target["labels"]))
        record = data.records("test")[int(target["image_id"])]
        assert target["boxes"].tolist() == record.boxes.tolist()
        assert target["labels"].tolist() == record.labels.tolist()
        kinds = {key: value.dtype for key, value in target.items()}
        whole, real = torch.int64, torch.float32
        assert kinds == {
            "boxes": real, "labels": whole, "image_id": whole, "area": real, "iscrowd": whole,
            "size": whole,
        }  # fmt: skip
        assert target["size"].tolist() == [HEIGHT, WIDTH]
        assert target["boxes"].shape[1] == 4
        assert target["image_id"].shape == ()
        if len(target["labels"]):
            assert torch.equal(white(image), target["boxes"][0])
    assert [data.category_ids[t["labels"][0] - 1] for t in targets if len(t["labels"])] == [4, 4, 9]


@pytest.mark.parametrize("number", range(3))
def test_boxes_follow_what_transforms_do_to_the_image(root, number):
    """The white boxes of the images are found where the targets say."""
    transforms = make(root, choice="bccd").reading.transforms
    assert [type(transform).__name__ for transform in transforms] == [
        "RandomHorizontalFlip", "RandomVerticalFlip", "ColorJitter", "RandomAffine"
    ]  # fmt: skip
    data = plain(root, transforms=transforms)
    moved = 0
    for image, target in zip(*epoch(data, number), strict=True):
        if len(target["labels"]):
            found = white(image)
            assert (found - target["boxes"][0]).abs().max() <= 1.01
            moved += int((found - before(data, target)).abs().max() > 2)
            sides = target["boxes"][0, 2:] - target["boxes"][0, :2]
            assert target["area"].tolist() == pytest.approx([float(sides.prod())])
    assert moved >= 4


def test_boxes_that_a_transform_cuts_away_go_with_their_labels(root):
    away = plain(root, transforms=(v2.RandomCrop((4, 4)),))
    targets = [target for n in range(4) for target in epoch(away, n)[1]]
    counts = {len(target["labels"]) for target in targets}
    assert counts == {0, 1}
    for target in targets:
        assert target["boxes"].shape == (len(target["labels"]), 4)
        assert len(target["area"]) == len(target["iscrowd"]) == len(target["labels"])
        assert ((target["boxes"][:, 2:] - target["boxes"][:, :2]) >= 1).all()


def test_one_process_reads_per_core_that_may_be_used(root, one_core):
    assert plain(root, num_workers=None).train_dataloader().num_workers == 1


def test_draws_follow_from_seed_epoch_and_image_alone(root):
    transforms = (v2.RandomHorizontalFlip(), v2.RandomPhotometricDistort(p=1.0))
    data = plain(root, transforms=transforms)
    state = torch.get_rng_state()
    first = epoch(data, 1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    epoch(data, 0)
    assert equal(first, epoch(data, 1))
    assert sorted(ids(first[1])) == list(range(100, 109))
    in_processes = plain(root, transforms=transforms, num_workers=2)
    loader = in_processes.train_dataloader()
    assert loader.num_workers == 2
    assert equal(first, epoch(in_processes, 1))
    _, targets = next(read_ahead(loader.examples, loader.sampler, num_workers=2, entropy=(0, 0)))
    assert isinstance(targets[0]["boxes"], np.ndarray)  # pickled, not an open file each
    other_batches = plain(root, batch_size=2, transforms=transforms)
    assert equal(first, epoch(other_batches, 1))
    for other in (epoch(data, 2), epoch(plain(root, seed=1, transforms=transforms), 1)):
        assert ids(first[1]) != ids(other[1])
        images = dict(zip(ids(other[1]), other[0], strict=True))
        same = [torch.equal(i, images[k]) for k, i in zip(ids(first[1]), first[0], strict=True)]
        assert sum(same) < 4  # the black image stays black, and a white box may


def test_processes_divide_the_images(root):
    alone = epoch(plain(root, batch_size=8, transforms=FLIP), 5)
    for loader, expected in (("train_dataloader", 8), ("test_dataloader", 5)):
        parts = []
        for rank in (0, 1):
            data = plain(root, transforms=FLIP)
            data.trainer = SimpleNamespace(global_rank=rank, world_size=2)
            parts.append(epoch(data, 5, loader))
        numbers = [number for part in parts for number in ids(part[1])]
        assert len(numbers) == len(set(numbers)) == expected
        if loader == "train_dataloader":
            for rank, part in enumerate(parts):
                assert equal(part, (alone[0][rank:8:2], alone[1][rank:8:2]))


class Recorder(pl.LightningModule):
    """Keeps the training batches."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1)
        self.seen = []

    def training_step(self, batch, batch_idx):
        torch.rand(batch_idx + 1)  # whatever draws from the global generator must not matter
        self.seen.append(batch)
        return self.layer(torch.ones(1, 1)).sum()

    def validation_step(self, batch, batch_idx):
        raise AssertionError("there is no validation split")

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


def test_a_resumed_training_sees_what_an_undisturbed_one_sees(root, tmp_path):
    def fit(epochs, checkpoint=None):
        trainer = pl.Trainer(
            max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False, use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )  # fmt: skip
        transforms = (v2.RandomHorizontalFlip(), v2.RandomPhotometricDistort(p=1.0))
        task, data = Recorder(), plain(root, val=None, transforms=transforms)
        assert not data.has_validation
        trainer.fit(task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
        images, targets = zip(*task.seen, strict=True)
        return sum(images, []), sum(targets, [])

    undisturbed = fit(3)
    fit(1)
    resumed = fit(3, tmp_path / "last.ckpt")
    assert len(undisturbed[0]) == 27
    assert equal(resumed, (undisturbed[0][9:], undisturbed[1][9:]))


def test_crowds_are_not_trained_on_and_marked_for_evaluation(tmp_path, caplog):
    for split in ("train", "test"):
        content = split_content(4, 100)
        for annotation in content["annotations"][1:]:
            annotation["iscrowd"] = 1  # of the third and fourth image, which show no other object
        extra = {"id": 50, "image_id": 100, "category_id": 9, "bbox": [1, 1, 4, 4], "iscrowd": 1}
        content["annotations"].append(extra)
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    with caplog.at_level(logging.INFO):
        data = plain(tmp_path, val=None, transforms=FLIP)
    assert "2 of 4 training images show crowds alone: left out" in caplog.text
    _, targets = epoch(data)
    found = {int(target["image_id"]): target["labels"].tolist() for target in targets}
    assert found == {100: [1], 101: []}
    _, targets = epoch(data, loader="test_dataloader")
    assert [target["iscrowd"].tolist() for target in targets] == [[0, 1], [], [1], [1]]


@pytest.mark.parametrize("in_memory", [False, True])
def test_max_size_shrinks_images_and_their_boxes(root, in_memory):
    full, small = plain(root), plain(root, max_size=24, in_memory=in_memory)
    assert small.input_shape == (3, 18, 24)
    assert len(small.pixels) == (18 if in_memory else 0)
    pairs = zip(*epoch(full, loader="test_dataloader"), strict=True)
    for (_, before), (image, after) in zip(
        pairs, zip(*epoch(small, loader="test_dataloader"), strict=True), strict=True
    ):
        assert image.shape == (3, 18, 24)
        assert torch.equal(after["boxes"], before["boxes"] / 2)
        assert torch.equal(after["area"], before["area"])  # of the annotated pixels, as COCO's
        assert after["size"].tolist() == [HEIGHT, WIDTH]
        record = small.records("test")[int(after["image_id"])]
        back = rescale(after["boxes"].numpy(), (24, 18), (record.width, record.height))
        assert np.array_equal(back, record.boxes)
        loaded, size = small.load_file(record.file)
        assert size == (WIDTH, HEIGHT)
        assert torch.equal(loaded, image)


def test_images_in_memory_are_those_of_the_files(root):
    transforms = (v2.RandomPhotometricDistort(p=1.0),)
    files, memory = (plain(root, transforms=transforms, in_memory=value) for value in (False, True))
    assert equal(epoch(files), epoch(memory))
    assert equal(epoch(memory, 1), epoch(memory, 1))  # nothing was changed in place


def test_too_many_images_for_the_memory(root, monkeypatch):
    free = SimpleNamespace(available=1000)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: free)
    with pytest.raises(ValueError, match="in_memory=true would keep 0.0 GiB of pixels, and 0.0"):
        plain(root, in_memory=True)


def test_official_layout_and_validation_images_out_of_train(tmp_path):
    for split, count, first in (("train2017", 9, 100), ("val2017", 3, 200)):
        path = tmp_path / "annotations" / f"instances_{split}.json"
        write_coco(path, tmp_path / split, split_content(count, first))
    data = make(tmp_path, "dataset.val_split=0.34", choice="coco")
    held = set(data.records("val"))
    assert (len(held), data.num_train, data.has_validation) == (3, 6, True)
    assert held | {record.image_id for record in data.train} == set(range(100, 109))
    assert set(data.records("test")) == {200, 201, 202}
    other = make(tmp_path, "dataset.val_split=0.34", "seed=1", choice="coco")
    assert set(other.records("val")) != held
    assert not make(tmp_path, choice="coco").has_validation


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("dataset.root=nowhere", "root=nowhere is no folder: give dataset.root=FOLDER"),
        ("dataset.root=null", "root=None is no folder"),
        ("dataset.num_classes=3", "num_classes is 3, the data has 2 classes"),
        ("dataset.val_split=0.5", "the set has validation images: val_split must be 0, not 0.5"),
        ("dataset.num_classes=0", "num_classes must be a whole number of at least 1, not 0"),
        ("dataset.in_channels=1", "in_channels is 3, grey images are read as RGB, not 1"),
        ("dataset.image_size=[480]", r"image_size must be a list of 2 values .*, not \[480\]"),
        ("dataset.batch_size=0", "batch_size must be a whole number of at least 1, not 0"),
        ("dataset.files.test=a.json", "there is no annotation file .*a.json"),
        ("dataset.reading.on_bad_box=skip", "on_bad_box is drop or error, not skip"),
        ("dataset.reading.exif=turn", "exif is apply, ignore or null, not turn"),
        ("dataset.reading.max_size=0", "max_size is a whole number of pixels, or null, not 0"),
        ("dataset.reading.num_workers=-1", "num_workers is a whole number of at least 0"),
    ],
)
def test_wrong_values_are_named(root, change, sentence):
    with pytest.raises((UserError, ValueError), match=sentence):
        make(root, change)


def test_image_of_another_size_than_its_annotation_is_named(root, tmp_path):
    content = split_content(2, 100)
    for split in ("train", "test"):
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "images" / "100.png")
    sentence = r"1 of 2 images .* the first is .*100\.png: 36x48 pixels, annotated as 48x36"
    with pytest.raises(ValueError, match=sentence):
        plain(tmp_path, val=None)


def test_an_image_that_changes_during_training_is_named(root, tmp_path):
    content = split_content(2, 100)
    for split in ("train", "test"):
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    data = plain(tmp_path, val=None)
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "images" / "100.png")
    with pytest.raises(ValueError, match=r"100\.png is 36x48 pixels, its annotation says 48x36"):
        epoch(data)


def test_a_file_that_is_no_image_is_named(tmp_path):
    for split in ("train", "test"):
        content = split_content(2, 100)
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    (tmp_path / "images" / "101.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"101\.png cannot be read as an image"):
        plain(tmp_path, val=None, in_memory=True)


def test_training_images_without_any_object(tmp_path):
    for split in ("train", "test"):
        content = split_content(3, 100) | {"annotations": []}
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    with pytest.raises(ValueError, match="none of the 3 training images has a box to learn"):
        plain(tmp_path, val=None)


def test_shapes_work_offline():
    cfg = compose_config(["dataset=shapes", "dataset.image_size=[32,32]"])
    data = build(cfg.dataset, "dataset")
    data.setup("fit")
    images, targets = next(iter(data.val_dataloader()))
    assert (len(images), images[0].shape, data.input_shape) == (8, (3, 32, 32), (3, 32, 32))
    assert data.class_names == ["circle", "square", "triangle"]
    assert (data.num_train, data.has_validation) == (512, True)
    cfg = compose_config(["dataset=shapes", "+dataset.reading.max_size=20"])
    with pytest.raises(UserError, match="reading.max_size is null, not 20"):
        build(cfg.dataset, "dataset")


def test_a_single_file_is_split_and_its_classes_are_counted(tmp_path):
    write_coco(tmp_path / "all.json", tmp_path / "images", split_content(20, 100))
    overrides = ["dataset=coco_json", f"dataset.root={tmp_path}", "dataset.val_split=0.25"]
    sets = []
    for seed in (0, 1):
        cfg = compose_config([*overrides, f"seed={seed}", "model=retinanet_ghostnet"])
        complete_facts(cfg)
        assert cfg.dataset.num_classes == cfg.model.num_classes == 2
        sets.append(ready(build(cfg.dataset, "dataset")))
    for data in sets:
        assert data.has_validation
        parts = [
            {r.image_id for r in data.train},
            set(data.records("val")),
            set(data.records("test")),
        ]
        assert [len(part) for part in parts] == [12, 4, 4]
        assert set.union(*parts) == set(range(100, 120))
    assert set(sets[0].records("test")) == set(sets[1].records("test"))  # whatever the seed
    assert set(sets[0].records("val")) != set(sets[1].records("val"))


def test_names_in_xml_files_are_counted(tmp_path):
    for number, name in enumerate(("cat", "dog", "cat", "cow")):
        Image.new("RGB", (20, 20)).save(tmp_path / f"{number}.jpg")
        corners = "<xmin>2</xmin><ymin>2</ymin><xmax>9</xmax><ymax>9</ymax>"
        box = f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"
        (tmp_path / f"{number}.xml").write_text(f"<annotation>{box}</annotation>")
    cfg = compose_config(["dataset=voc_xml", f"dataset.root={tmp_path}"])
    complete_facts(cfg)
    assert cfg.dataset.num_classes == 3
    data = ready(build(cfg.dataset, "dataset"))
    assert data.class_names == ["cat", "cow", "dog"]
    assert (data.num_train, len(data.records("test"))) == (3, 1)


def test_a_class_without_training_boxes_is_named(tmp_path, caplog):
    for split in ("train", "test"):
        content = split_content(4, 100)
        content["categories"] = [{"id": 0, "name": "things"}, *CATEGORIES]  # Roboflow's parent
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", content)
    cfg = compose_config(
        ["dataset=coco_json", f"dataset.root={tmp_path}", "dataset.files.val=null"]
    )
    data = ready(build(cfg.dataset, "dataset"))
    assert data.class_names == ["things", "cell", "spot"]
    assert "no training image has a box of things: it is never found" in caplog.text


def test_the_fingerprint_changes_with_images_boxes_and_split(root, tmp_path):
    first = plain(root).fingerprint
    assert len(first) == 16
    assert int(first, 16) >= 0
    shutil.copytree(root, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert plain(copy).fingerprint == first  # names, sizes and boxes; not times or places
    assert plain(copy, in_memory=True).fingerprint == first
    assert plain(root, seed=1).fingerprint == first
    assert plain(root, val=None).fingerprint != first
    path = copy / "annotations" / "train.json"
    content = path.read_text()
    path.write_text(content.replace('"bbox": [8, ', '"bbox": [9, ', 1))
    assert plain(copy).fingerprint != first
    path.write_text(content.replace('"category_id": 4', '"category_id": 9', 1))
    assert plain(copy).fingerprint != first
    path.write_text(content)
    assert plain(copy).fingerprint == first
    Image.new("RGB", (WIDTH, HEIGHT), (9, 200, 1)).save(copy / "images" / "300.png")
    assert plain(copy).fingerprint != first
    shapes = [f"dataset.image_size=[{size},32]" for size in (32, 48)]
    one, other, same = (
        ready(build(compose_config(["dataset=shapes", size]).dataset, "dataset")).fingerprint
        for size in (*shapes, shapes[0])
    )
    assert one == same != other
