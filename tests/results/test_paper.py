"""Published figures: which run gets which, and which gets none."""

import pytest

from ghostexp.results.paper import caveat, find_published, is_cifar10

CLASSES = ["truck", "ship", "horse", "frog", "dog", "deer", "cat", "bird", "automobile", "Airplane"]


def settings(model: str, dataset: str = "cifar10", **values: float):
    known = {"model": model, "dataset": dataset} | {f"model.{k}": v for k, v in values.items()}
    return known.get


@pytest.mark.parametrize(
    ("value", "percent"),
    [
        (settings("resnet56"), 93.0),
        (settings("ghost_resnet56", ratio=1, cheap_kernel_size=5), 93.0),
        (settings("ghost_resnet56", ratio=2, cheap_kernel_size=3), 92.7),
        (settings("vgg16"), 93.6),
        (settings("ghost_vgg16", ratio=2, cheap_kernel_size=3), 93.7),
        (settings("ghostnet_v1", "imagenet", width_mult=0.5), 66.2),
        (settings("ghostnet_v1", "imagenet", width_mult=1), 73.9),
        (settings("ghostnet_v1", "imagenet", width_mult=1.3), 75.7),
        (settings("ghostnet_v2", "imagenet", width_mult=1.0), 75.3),
        (settings("ghostnet_v2", "imagenet", width_mult=1.3), 76.9),
        (settings("ghostnet_v2", "imagenet", width_mult=1.6), 77.8),
    ],
)
def test_published_accuracies(value, percent):
    published = find_published(value, None, "test/acc")
    assert published.percent == percent
    assert "GhostNet" in published.source


def test_published_detection():
    backbone = {
        "backbone._target_": "ghostexp.models.ghostnet.ghostnet",
        "backbone.width_mult": 1.1,
    }
    value = settings("faster_rcnn_ghostnet", "coco", **backbone)
    assert find_published(value, ["person"], "test/map").percent == 26.9
    assert find_published(value, ["person"], "test/acc") is None
    other = settings("retinanet_ghostnet", "coco", **backbone)
    assert find_published(other, None, "test/map").percent == 26.6
    wider = settings("retinanet_ghostnet", "coco", **backbone | {"backbone.width_mult": 1.3})
    assert find_published(wider, None, "test/map") is None


@pytest.mark.parametrize(
    "value",
    [
        settings("ghost_resnet56", ratio=3, cheap_kernel_size=3),
        settings("ghost_resnet56", ratio=2, cheap_kernel_size=5),
        settings("ghost_resnet56"),  # ratio unknown
        settings("resnet56", "digits"),
        settings("resnet20"),
        {}.get,
    ],
)
def test_nothing_published(value):
    assert find_published(value, None, "test/acc") is None


def test_classes_tell_a_copy_of_cifar10():
    assert is_cifar10(CLASSES)
    assert not is_cifar10(CLASSES[:9])
    assert not is_cifar10(None)
    value = settings("resnet56", "image_folder")
    assert find_published(value, CLASSES, "test/acc").percent == 93.0
    assert find_published(value, [0, 1], "test/acc") is None


def test_caveats():
    assert caveat("cifar10", 50_000) is None
    assert caveat("cifar10", 45_000) is None  # a tenth held out for validation
    assert caveat("image_folder", 50_000) == "another copy of CIFAR-10: not comparable to the digit"
    assert "trained on 5000 images" in caveat("cifar10", 5_000)
    assert caveat("imagenet", 1_000) is None
