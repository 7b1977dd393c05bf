"""ImageNet's form of data on a small tree: splits, transforms, workers, a step of training."""

import numpy as np
import pytest
import torch
from helpers import ROOT, epoch
from omegaconf import OmegaConf
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.data import FileTransforms
from ghostexp.data.draws import Place

SIZE = 32
CLASSES = ("n01440764", "n01443537", "n02102040")
COUNTS = {"train": 6, "val": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """48x40 photographs of noise; a test folder without classes, as ImageNet's."""
    root = tmp_path_factory.mktemp("imagenet")
    generator = np.random.default_rng(0)
    (root / "test").mkdir()
    for split, count in COUNTS.items():
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(256, size=(10, 12, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
                image.save(root / split / name / f"{name}_{number}.JPEG", quality=95)
    return root


def overrides(root, *more):
    return [
        f"dataset.root={root}",
        f"dataset.num_classes={len(CLASSES)}",
        f"dataset.image_size={SIZE}",
        "dataset.batch_size=4",
        "dataset.files.num_workers=0",
        *more,
    ]


def make(root, *more, choice="imagenet", **values):
    cfg = compose_config([f"dataset={choice}", *overrides(root, *more)])
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    data = build(cfg.dataset, "dataset", **values)
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_test_set_is_the_folder_val(root):
    data = make(root)
    assert data.class_names == list(CLASSES)
    assert (data.num_train, data.has_val) == (18, False)
    expected = ImageFolder(
        root / "val", v2.Compose([v2.Resize(37), v2.CenterCrop(SIZE), v2.PILToTensor()])
    )
    images, labels = epoch(data, loader="test_dataloader")
    assert labels.tolist() == expected.targets
    assert torch.equal(images, torch.stack([image for image, _ in expected]))
    assert images[:4].is_contiguous(memory_format=torch.channels_last)


def test_validation_images_come_out_of_train_and_are_not_transformed_at_random(root):
    data = make(root, "dataset.val_split=0.34")
    assert data.labelled_set.labels[data.val].bincount().tolist() == [2, 2, 2]
    assert data.num_train == 12
    images, _ = epoch(data, loader="val_dataloader")
    assert torch.equal(images, data.labelled_set.examples[data.val])


def test_training_draws_follow_from_seed_and_epoch_alone(root):
    data = make(root)
    state = torch.get_rng_state()
    images, labels = epoch(data)
    assert images.shape == (18, 3, SIZE, SIZE)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    again, same_labels = epoch(data)
    assert torch.equal(images, again)
    assert torch.equal(labels, same_labels)

    other_epoch, other_seed = epoch(data, 1)[0], epoch(make(root, seed=1))[0]
    for other in (other_epoch, other_seed):
        pairs = (images.flatten(1).float()[:, None] - other.flatten(1).float()).abs().amax(2)
        assert pairs.min() > 0  # not one crop twice, wherever the image came in the order


def test_workers_give_what_one_process_gives(root):
    alone, read_ahead = make(root), make(root, "dataset.files.num_workers=2")
    assert read_ahead.train_dataloader().num_workers == 2
    assert torch.equal(epoch(alone, 3)[0], epoch(read_ahead, 3)[0])


def test_randaugment_and_mixup_preset(root):
    data = make(root, choice="imagenet_randaugment_mixup")
    kinds = [
        type(transform).__name__
        for transform in data.labelled_set.train_examples.read.keywords["transforms"]
    ]
    assert kinds == ["RandomResizedCrop", "RandAugment"]
    images, labels = next(iter(data.train_dataloader()))
    mixed, shares = data.augment.train(images, labels, Place(0))
    assert mixed.shape == (4, 3, SIZE, SIZE)
    assert shares.shape == (4, len(CLASSES))
    assert torch.allclose(shares.sum(1), torch.ones(4))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("dataset.root=nowhere", "root=nowhere is no folder"),
        ("dataset.files.num_workers=-1", "num_workers is a whole number of at least 0"),
        ("dataset.num_classes=1000", "num_classes is 1000, the data has 3 classes"),
    ],
)
def test_wrong_values_are_named(root, change, sentence):
    with pytest.raises((UserError, ValueError), match=sentence):
        make(root, change)


def test_folder_without_val_is_named(tmp_path):
    (tmp_path / "train").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path} has no folder val"):
        make(tmp_path)


def test_transforms_must_give_the_image_size(root):
    data = make(root, files=FileTransforms(train=[], evaluate=[v2.CenterCrop(20)], num_workers=0))
    with pytest.raises(ValueError, match="make .*JPEG 48x40 pixels, and image_size is 32"):
        epoch(data)
    with pytest.raises(ValueError, match="20x20 pixels"):
        epoch(data, loader="test_dataloader")


def test_experiment_trains_a_step(app, root, tmp_path):
    assert app("experiment=ghostnet_imagenet", "debug=fast", *overrides(root)) == 0
    (record,) = tmp_path.glob("outputs/ghostnet_imagenet/*/result.json")
    assert '"status": "finished"' in record.read_text()


def test_recipe_of_the_experiment():
    cfg = compose_config(["experiment=ghostnet_imagenet"])
    trainer = cfg.trainer
    assert cfg.dataset.batch_size * trainer.accumulate_grad_batches == 1024
    assert (cfg.optimizer.lr, cfg.optimizer.weight_decay) == (0.4, 4e-5)
    assert cfg.sched.scheduler.warmup * trainer.max_epochs == pytest.approx(5, abs=0.01)
