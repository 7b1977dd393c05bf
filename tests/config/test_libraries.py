"""Names of networks that torchvision or timm have."""

from importlib.util import find_spec

import pytest

from ghostexp.config.libraries import named_in_a_library


def test_classifiers_of_torchvision_are_known_and_detectors_are_not():
    assert named_in_a_library("resnet18") == (
        "torchvision",
        "model.net._target_=torchvision.models.resnet18",
    )
    assert named_in_a_library("retinanet_resnet50_fpn") is None
    assert named_in_a_library("resnet57") is None


@pytest.mark.skipif(find_spec("timm") is None, reason="timm is an extra")
def test_what_only_timm_has_is_known():
    library, words = named_in_a_library("mobilenetv3_large_100")
    assert library == "timm"
    assert words.endswith("create_model +model.net.model_name=mobilenetv3_large_100")
