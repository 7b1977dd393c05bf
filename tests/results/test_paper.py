"""Published figures: which shipped config gets which, at which budget, and which gets none."""

import pytest
from helpers import ROOT
from omegaconf import OmegaConf, open_dict

from ghostexp.config.cli import compose_config
from ghostexp.results.identity import flatten, result_part
from ghostexp.results.paper import caveats, find_published, is_cifar10, other_budget

MODELS = sorted(path.stem for path in (ROOT / "conf" / "model").glob("*.yaml"))
CIFAR10 = {"resnet56": 93.0, "ghost_resnet56": 92.7, "vgg16": 93.6, "ghost_vgg16": 93.7}
IMAGENET = {
    "ghostnet_050": 66.2,
    "ghostnet": 73.9,
    "ghostnet_130": 75.7,
    "ghostnet_v2": 75.3,
    "ghostnet_v2_130": 76.9,
    "ghostnet_v2_160": 77.8,
    "ghostnet_v3_050": 69.4,
    "ghostnet_v3": 77.1,
    "ghostnet_v3_130": 79.1,
    "ghostnet_v3_160": 80.4,
    "repghostnet_050": 66.95,
    "repghostnet_058": 68.94,
    "repghostnet_080": 72.24,
    "repghostnet": 74.22,
    "repghostnet_111": 75.07,
    "repghostnet_130": 76.37,
    "repghostnet_150": 77.45,
    "repghostnet_200": 78.81,
    "g_ghost_regnet_x": 77.8,
    "g_ghost_regnet_x_040": 78.6,
    "g_ghost_regnet_x_080": 79.0,
    "g_ghost_regnet_x_160": 79.9,
    "ghost_resnet50": 75.0,
}
COCO = {"faster_rcnn_ghostnet": 26.9, "retinanet_ghostnet": 26.6}
CLASSES = ["truck", "ship", "horse", "frog", "dog", "deer", "cat", "bird", "automobile", "Airplane"]


def composed(model: str, dataset: str, *overrides: str):
    """What a record of that run says of a key: its choices, then its resolved config."""
    cfg = compose_config([f"model={model}", f"dataset={dataset}", *overrides])
    with open_dict(cfg):
        cfg.run_dir = "RUN_DIR"
    config = flatten(result_part(OmegaConf.to_container(cfg, resolve=True)))
    return (config | {"model": model, "dataset": dataset}).get


def on(dataset: str, value):
    return lambda key: dataset if key == "dataset" else value(key)


def percent(value, metric: str = "test/acc") -> float | None:
    published = find_published(value, None, metric)
    return published.percent if published else None


@pytest.mark.parametrize("model", MODELS)
def test_every_shipped_config_has_its_papers_figures(model):
    value = composed(model, "cifar10")  # composed once: the figures read only its choice
    assert percent(value) == CIFAR10.get(model)
    assert percent(on("imagenet", value)) == IMAGENET.get(model)
    assert percent(on("coco", value), "test/map") == COCO.get(model)
    ours = ("efficientnet", "small", "g_ghost_resnet")  # without a printed figure
    if "ghost" in model and not any(word in model for word in ours):
        assert model in CIFAR10 | IMAGENET | COCO  # none of the family is left out


def test_settings_decide_not_the_name_of_the_config():
    assert percent(composed("ghostnet", "imagenet", "model.width_mult=1.3")) == 75.7
    assert percent(composed("ghostnet", "imagenet", "model.width_mult=0.7")) is None
    assert percent(composed("ghost_resnet56", "cifar10", "model.ratio=1")) == 93.0
    assert percent(composed("ghost_resnet56", "cifar10", "model.ratio=3")) is None
    assert percent(composed("ghost_resnet56", "cifar10", "model.cheap_kernel_size=5")) is None
    assert percent(composed("ghost_resnet50", "imagenet", "model.ratio=4")) == 74.1
    wider = "model.backbone.width_mult=1.3"
    assert percent(composed("retinanet_ghostnet", "coco", wider), "test/map") is None


def test_other_data_and_metrics_have_no_figure():
    assert percent(composed("resnet56", "digits")) is None
    assert percent(composed("resnet56", "cifar10"), "test/loss") is None
    assert percent({}.get) is None
    value = composed("resnet56", "imagenet_randaugment_mixup")
    assert percent(value) is None
    assert percent(composed("ghostnet", "imagenet_randaugment_mixup")) == 73.9


@pytest.mark.parametrize(
    ("model", "dataset", "metric", "budget"),
    [
        ("resnet56", "cifar10", "test/acc", "200 epochs"),
        ("ghostnet", "imagenet", "test/acc", "epochs not stated"),
        ("ghostnet_v2", "imagenet", "test/acc", "epochs not stated"),
        ("ghostnet_v3_130", "imagenet", "test/acc", "600 epochs"),
        ("faster_rcnn_ghostnet", "coco", "test/map", "12 epochs"),
    ],
)
def test_budgets(model, dataset, metric, budget):
    assert find_published(composed(model, dataset), None, metric).budget == budget


def test_only_the_same_budget_gives_a_difference():
    paper = find_published(composed("resnet56", "cifar10"), None, "test/acc")
    assert other_budget(paper, 200, 50_000) is None
    assert other_budget(paper, 200, 45_000) is None  # a tenth held out for validation
    assert "for 12 epochs instead of 200" in other_budget(paper, 12, 50_000)
    assert "for unknown epochs" in other_budget(paper, None, None)
    both = other_budget(paper, 12, 5_000)
    assert both == (
        "trained for 12 epochs instead of 200 and on 5000 images, not on all,"
        " so no difference is given"
    )
    unstated = find_published(composed("ghostnet", "imagenet"), None, "test/acc")
    assert "does not state" in other_budget(unstated, 240, 1_281_167)


def test_classes_tell_a_copy_of_cifar10():
    assert is_cifar10(CLASSES)
    assert not is_cifar10(CLASSES[:9])
    assert not is_cifar10(None)
    value = composed("resnet56", "image_folder", "dataset.num_classes=10")
    published = find_published(value, CLASSES, "test/acc")
    assert published.percent == 93.0
    assert caveats(published, value) == ["another copy of CIFAR-10 than the paper's"]
    assert find_published(value, [0, 1], "test/acc") is None


def test_caveats():
    value = composed("ghostnet", "imagenet", "dataset.image_size=160", "model.weights=w.pth")
    published = find_published(value, None, "test/acc")
    weights, size = caveats(published, value)
    assert "trained weights" in weights
    assert size == "images of 160 pixels instead of 224"
    value = composed("ghostnet", "imagenet")
    assert caveats(published, value) == []
