"""augment=WORD, and what image folders do without a word."""

import pytest
import torch
from helpers import ROOT
from omegaconf import OmegaConf
from PIL import Image
from torchvision.transforms import v2

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of ten photos of 160x120 pixels, each brighter to the right."""
    root = tmp_path_factory.mktemp("photos")
    for name, low in (("cat", 0), ("dog", 90)):
        (root / name).mkdir()
        for number in range(10):
            row = torch.arange(low, low + 160).to(torch.uint8)
            pixels = row[None, :, None].expand(120, 160, 3).contiguous().numpy()
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return root


def completed(*words):
    cfg = compose_config(list(words))
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    complete_facts(cfg)
    return cfg


def of_folder(photos, *words):
    return completed("dataset=image_folder", f"dataset.root={photos}", *words).dataset


def kinds(dataset) -> tuple[list[str] | None, int, bool]:
    """Transforms of a training image, padding of the crop, and whether images are mirrored."""
    files = dataset.files and [node._target_.rpartition(".")[2] for node in dataset.files.train]
    return files, dataset.augment.crop_padding, dataset.augment.flip


CIFAR = (None, 4, True)
IMAGENET = (["random_resized_crop"], 0, True)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], CIFAR),
        (["dataset.image_size=95"], CIFAR),
        (["dataset.image_size=96"], IMAGENET),
        (["augment=imagenet"], IMAGENET),
        (["augment=cifar", "dataset.image_size=224"], CIFAR),
        (["augment=none", "dataset.image_size=224"], (None, 0, False)),
        (["dataset.augment.crop_padding=8", "dataset.image_size=224"], (None, 8, True)),
        (["augment=imagenet", "dataset.augment.flip=false"], (["random_resized_crop"], 0, False)),
    ],
)
def test_the_word_or_else_the_size_chooses(photos, words, expected):
    assert kinds(of_folder(photos, *words)) == expected


def test_sets_in_memory_take_the_words_that_need_no_file():
    assert completed("dataset=cifar10", "augment=none").dataset.augment.crop_padding == 0
    assert completed("dataset=digits", "augment=cifar").dataset.augment.flip
    with pytest.raises(UserError, match="dataset.files is for data that are read from image files"):
        completed("dataset=cifar10", "augment=imagenet")


@pytest.mark.parametrize("word", ["cifar", "none"])
def test_a_word_that_a_set_with_crops_of_its_own_would_ignore_is_refused(word, app, capsys):
    words = ["dataset=imagenet", f"augment={word}"]
    ignored = f"augment={word} does not change the crops of dataset.files.train"
    assert app(*words) == 1
    assert ignored in capsys.readouterr().out
    assert app("-m", *words, "seed=0,1") == 1
    assert ignored in capsys.readouterr().err
    assert app(*words, "dataset.files.train=${dataset.files.evaluate}") == 1
    assert "data/imagenet" in capsys.readouterr().out  # which is not here


def ready(cfg_dataset):
    data = build(cfg_dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    return data


def test_photos_are_cropped_from_their_files(photos):
    words = ["dataset.image_size=96", "+dataset.files.num_workers=0", "augment=imagenet"]
    data = ready(of_folder(photos, *words))
    images, _ = next(iter(data.train_dataloader()))
    assert images.shape == (16, 3, 96, 96)
    widths = images[:, 0, 0].float()
    contrast = widths.amax(1) - widths.amin(1)  # as wide a part of the photo as the crop is
    assert len(contrast.unique()) > 8
    again, _ = next(iter(data.train_dataloader()))
    assert torch.equal(images, again)
    centre = v2.Compose([v2.Resize(110), v2.CenterCrop(96), v2.PILToTensor()])
    tested, _ = next(iter(data.test_dataloader()))
    assert torch.equal(tested[0], centre(Image.open(photos / "cat" / "0.png").convert("RGB")))
    assert torch.equal(data.source.load_file(photos / "cat" / "0.png"), tested[0])


def test_crops_follow_the_interpolation_of_the_weights(photos):
    dataset = of_folder(photos, "dataset.image_size=96", "dataset.interpolation=bicubic")
    (crop,) = build(dataset, "dataset").source.load.args[2].train
    assert crop.interpolation == v2.InterpolationMode.BICUBIC
