"""What a config leaves open is filled in from data and weights, before anything is built."""

import logging
import shutil

import pytest
import torch
from helpers import ROOT, result
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config.audit import audit
from ghostexp.config.build import build, build_network
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.runs.load import load_network

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CIFAR10 = ([0.4914, 0.4822, 0.4465], [0.247, 0.2435, 0.2616])


def completed(*overrides):
    cfg = compose_config(list(overrides))
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    complete_facts(cfg)
    return cfg


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Four classes, one of them without test images, beside what a system leaves."""
    root = tmp_path_factory.mktemp("photos")
    for name in ("train/cat", "train/cow", "train/dog", "train/gnu", "test/cat", "test/dog"):
        (root / name).mkdir(parents=True)
        for number in range(2):
            Image.new("RGB", (8, 8)).save(root / name / f"{number}.png")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/__MACOSX").mkdir()
    return root


def test_classes_of_an_image_folder_are_counted(photos, caplog):
    with caplog.at_level(logging.INFO):
        cfg = completed("dataset=image_folder", f"dataset.root={photos}", "model=resnet20")
    assert cfg.dataset.num_classes == cfg.model.num_classes == cfg.task.num_classes == 4
    assert "dataset.num_classes=4, as many classes as the data have" in caplog.text
    assert build_network(cfg)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)
    data = build(cfg.dataset, "dataset")
    data.prepare_data()
    assert data.class_names == ["cat", "cow", "dog", "gnu"]


def test_balanced_class_weights_are_those_of_the_training_split(tmp_path, caplog):
    for name, count in {"train/cat": 5, "train/cow": 10, "test/cat": 3}.items():
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", (8, 8)).save(tmp_path / name / f"{number}.png")
    folder = ("dataset=image_folder", f"dataset.root={tmp_path}", "dataset.val_split=0.2")
    with caplog.at_level(logging.INFO):
        cfg = completed(*folder, "model=resnet20", "task.loss.class_weights=balanced")
    assert list(cfg.task.loss.class_weights) == [12 / 8, 12 / 16]  # 4 cats and 8 cows of 12
    assert "balanced of the training split: cat 1.5, cow 0.75" in caplog.text
    loss = build(cfg.task.loss, "task.loss")
    assert loss.weight.tolist() == [1.5, 0.75]
    with pytest.raises(UserError, match="class_weights has 3 numbers, but the data set has 10"):
        completed("task.loss.class_weights=[1,2,3]")
    with pytest.raises(UserError, match="task.loss.class_weights must be .*balanced"):
        completed("task.loss.class_weights=balancd")


def test_a_training_counts_them_and_its_run_needs_no_data_afterwards(small_run, photos, tmp_path):
    root = tmp_path / "photos"
    shutil.copytree(photos, root)
    run = small_run("dataset=image_folder", f"dataset.root={root}")
    shutil.rmtree(root)
    cfg, net = load_network(run)
    assert cfg.dataset.num_classes == 4
    assert net(torch.zeros(1, 3, 8, 8)).shape == (1, 4)
    assert result(run)["dataset"]["class_names"] == ["cat", "cow", "dog", "gnu"]


def test_a_number_that_is_given_stays(photos):
    cfg = completed("dataset=image_folder", f"dataset.root={photos}", "dataset.num_classes=7")
    assert cfg.dataset.num_classes == 7
    with pytest.raises(ValueError, match="num_classes is 7, the data has 4 classes"):
        build(cfg.dataset, "dataset").prepare_data()


def test_classes_of_imagenets_form_are_counted(photos):
    cfg = completed("dataset=imagenet", f"dataset.root={photos}", "dataset.num_classes=null")
    assert cfg.dataset.num_classes == 4


def test_classes_of_an_audio_folder_are_counted(photos):
    cfg = completed("dataset=audio_folder", f"dataset.root={photos}", "model=resnet20")
    assert cfg.model.num_classes == 4


def test_what_cannot_be_counted_is_named(tmp_path):
    for choice, sentence in (
        ("image_folder", "dataset: root=nowhere is no folder"),
        ("digits", "num_classes, in_channels and image_size of digits are"),
        ("speech_commands", "num_classes is fixed for this data set"),
    ):
        root = [] if choice == "digits" else ["dataset.root=nowhere"]
        with pytest.raises(UserError, match=sentence):
            completed(f"dataset={choice}", *root, "dataset.num_classes=null")
    with pytest.raises(UserError, match="has no class folders"):
        completed("dataset=image_folder", f"dataset.root={tmp_path}")


def normalisation(cfg):
    augment = build(cfg.dataset, "dataset").augment
    return [
        [round(value, 4) for value in values.tolist()] for values in (augment.mean, augment.std)
    ]


@pytest.mark.parametrize(
    ("model", "expected", "interpolation"),
    [
        (["model=ghostnet"], CIFAR10, None),
        (["model=ghostnet", "model.weights=ghostnet_1.0"], IMAGENET, "bilinear"),
        (["model=ghostnet_v2", "model.weights=ghostnet_v2_1.0"], IMAGENET, "bicubic"),
        (["model=efficientnet_v2_s", "model.weights=efficientnet_v2_s"], IMAGENET, "bilinear"),
        (
            ["model=efficientnet_v2_l", "model.weights=efficientnet_v2_l"],
            ([0.5] * 3, [0.5] * 3),
            "bicubic",
        ),
        (["model=converted", "+model.net.weights=IMAGENET1K_V2", "model.net._target_="
          "torchvision.models.resnet50"], IMAGENET, "bilinear"),
        (["model=converted", "model.net._target_=timm.create_model", "+model.net.pretrained=true",
          "+model.net.model_name=tf_efficientnet_b0.ap_in1k"], ([0.5] * 3, [0.5] * 3), "bicubic"),
    ],
)  # fmt: skip
def test_weights_bring_how_their_images_were_prepared(
    photos, caplog, model, expected, interpolation
):
    cfg = completed("dataset=image_folder", f"dataset.root={photos}", *model)
    assert normalisation(cfg) == list(expected)
    assert cfg.dataset.interpolation == interpolation
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_a_difference_from_the_weights_is_said(caplog):
    completed("dataset=cifar10", "model=ghostnet", "model.weights=ghostnet_1.0")
    assert caplog.messages == [
        "the images are not prepared as those of weights=ghostnet_1.0 were: dataset.augment.mean="
        "[0.4914, 0.4822, 0.4465] instead of [0.485, 0.456, 0.406], dataset.augment.std="
        "[0.247, 0.2435, 0.2616] instead of [0.229, 0.224, 0.225]"
    ]
    caplog.clear()
    caplog.set_level(logging.WARNING)
    completed("dataset=imagenet", "model=ghostnet", "model.weights=ghostnet_1.0")
    completed("dataset=tones", "model=efficientnet_v2_s", "model.weights=efficientnet_v2_s")
    assert caplog.messages == []


def test_grey_images_take_the_mean_over_the_channels(photos):
    grey = ["dataset.in_channels=1", "model=efficientnet_v2_s", "model.weights=efficientnet_v2_s"]
    cfg = completed("dataset=image_folder", f"dataset.root={photos}", *grey)
    assert normalisation(cfg) == [[0.449], [0.226]]


def test_a_checkpoint_of_a_run_brings_what_the_run_used(photos, tmp_path):
    run = tmp_path / "run"
    (run / ".hydra").mkdir(parents=True)
    saved = compose_config(["dataset=cifar100"])
    OmegaConf.save(saved, run / ".hydra" / "config.yaml")
    weights = ["model=ghostnet", f"model.weights={run}/checkpoints/best.ckpt"]
    cfg = completed("dataset=image_folder", f"dataset.root={photos}", *weights)
    assert normalisation(cfg) == [[0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]]
    assert cfg.dataset.interpolation == "bilinear"
