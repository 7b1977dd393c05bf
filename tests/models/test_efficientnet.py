"""EfficientNetV2: torchvision's sizes and outputs, a grey stem, a cosine head, weights."""

from urllib.error import URLError

import pytest
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision import models

from ghostexp.analysis.complexity import count_params, count_trainable_params
from ghostexp.models.efficientnet import (
    EfficientNetV2,
    efficientnet_v2_l,
    efficientnet_v2_m,
    efficientnet_v2_s,
    fit_weights,
)
from ghostexp.models.weights import load_state

ROW = models.efficientnet.FusedMBConvConfig


def tiny(num_classes, in_channels=3, *, cosine_head=False):
    """torchvision's class with two small stages, in our adaptation."""
    rows = [ROW(1, 3, 1, 8, 8, 1), ROW(4, 3, 2, 8, 16, 2)]
    net = models.EfficientNet(rows, dropout=0.2, last_channel=32)
    return EfficientNetV2(net, num_classes, in_channels, cosine_head=cosine_head)


@pytest.mark.parametrize(
    ("build", "params"),
    [
        (efficientnet_v2_s, 21_458_488),
        (efficientnet_v2_m, 54_139_356),
        (efficientnet_v2_l, 118_515_272),
    ],
)
def test_params_of_the_paper(build, params):
    with torch.device("meta"):
        assert count_params(build(1000)) == params


def test_params_of_the_report():
    with torch.device("meta"):
        net = efficientnet_v2_s(6, 1, cosine_head=True)
        summary = efficientnet_v2_s(118, 1, cosine_head=True)
    assert count_params(net) == 20_184_736
    assert count_params(net) - net.features[0][1].num_features == 20_184_712
    conv, norm, _ = summary.features[0]
    folded = fuse_conv_bn_eval(conv.eval(), norm.eval())
    folded.bias.requires_grad = False
    summary.features[0] = nn.Sequential(folded, nn.SiLU())
    total, trainable = count_params(summary), count_trainable_params(summary)
    assert (total, trainable, total - trainable) == (20_328_072, 20_328_048, 24)


def test_outputs_are_torchvisions():
    torch.manual_seed(0)
    theirs = models.efficientnet_v2_s(num_classes=7).eval()
    ours = EfficientNetV2(theirs, 7, 3, cosine_head=False).eval()
    load_state(ours, theirs.state_dict(), "theirs")
    images = torch.randn(2, 3, 40, 40)
    assert torch.equal(ours(images), theirs(images))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert torch.equal(ours.classifier(ours.embed(images)), theirs(images))
    assert sum(count_params(stage) for stage in ours.stages()) == count_params(theirs)
    assert ours.stages()[0] is theirs.features[0]
    assert ours.stages()[-1] is ours.classifier[-1]


def test_a_grey_image_gives_what_it_gives_in_rgb():
    rgb, grey, mean = tiny(5).eval(), tiny(5, 1).eval(), tiny(5, 1).eval()
    load_state(grey, fit_weights(rgb.state_dict(), grey, mean_stem=False), "rgb")
    load_state(mean, fit_weights(rgb.state_dict(), mean, mean_stem=True), "rgb")
    images = torch.randn(2, 1, 32, 32)
    torch.testing.assert_close(grey(images), rgb(images.expand(-1, 3, -1, -1)))
    response = grey.features[0][0](images)
    torch.testing.assert_close(mean.features[0][0](images), response / 3)


def test_weights_for_another_head():
    linear, cosine = tiny(5), tiny(3, 1, cosine_head=True)
    report = load_state(cosine, fit_weights(linear.state_dict(), cosine, mean_stem=False), "rgb")
    assert report.new == ("classifier.1.weight",)
    assert torch.equal(
        cosine.features[1][0].block[0][0].weight, linear.features[1][0].block[0][0].weight
    )
    again = tiny(3, 1, cosine_head=True)
    assert load_state(again, cosine.state_dict(), "a run").new == ()
    with pytest.raises(ValueError, match=r"1 missing \(classifier.1.bias\)"):
        load_state(
            linear,
            fit_weights(tiny(5, cosine_head=True).state_dict(), linear, mean_stem=False),
            "x",
        )


def test_every_parameter_gets_a_gradient():
    net = tiny(4, 1, cosine_head=True)
    net(torch.randn(4, 1, 32, 32)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="in_channels is 1 or 3"):
        tiny(5, 2)


def test_without_a_network_one_sentence_says_what_to_do(monkeypatch, tmp_path):
    def unplugged(*arguments, **options):
        raise URLError("Network is unreachable")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("ghostexp.download.urlopen", unplugged)
    with (
        torch.device("meta"),
        pytest.raises(ValueError, match="run this again where there is a ne"),
    ):
        efficientnet_v2_s(6, 1, weights="efficientnet_v2_s")
