"""Detectors: what of the backbone they keep, the pyramid's levels, freezing, bf16, the peer."""

from functools import partial

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.detection import (
    fasterrcnn_mobilenet_v3_large_fpn,
    fasterrcnn_resnet50_fpn,
)
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.analysis.complexity import count_macs, count_params, count_thop
from ghostexp.models.detection import (
    FasterHeads,
    RetinaHeads,
    faster_rcnn_ghostnet,
    faster_rcnn_mobilenet_v3,
    retinanet_ghostnet,
)
from ghostexp.models.ghostnet import BLOCKS, GhostBottleneck, GhostNet, GhostNorm, ghostnet
from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.models.pyramid import freeze_norms
from ghostexp.models.repghostnet import repghostnet

IMAGE = (3, 224, 224)
faster_rcnn = partial(faster_rcnn_ghostnet, heads=FasterHeads(rois_per_image=32))
SMALL = {"anchor_sizes": (8, 16, 32, 48, 64), "min_size": 96, "max_size": 128}


@pytest.fixture
def batch():
    """Two images of unlike sizes, the second without an object."""
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.rand(3, 96, 128, generator=generator),
        torch.rand(3, 80, 90, generator=generator),
    ]
    boxes = torch.tensor([[8.0, 10, 40, 50], [60, 20, 110, 90]])
    return images, [
        {"boxes": boxes, "labels": torch.tensor([1, 2])},
        {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)},
    ]


def build(factory, *, backbone=ghostnet, **options):
    torch.manual_seed(0)
    return factory(2, backbone=backbone(width_mult=0.5), **SMALL | options)


def test_backbone_is_the_papers_without_its_last_convolution():
    trunk = ghostnet(width_mult=1.1).trunk()
    last_conv = 7 * 7 * 176 * 1056
    assert (count_params(trunk), count_macs(trunk, IMAGE)) == (3_033_722, 164_355_184 - last_conv)


def test_the_reports_backbone_from_our_blocks():
    def block(width, row):
        ghost = partial(GhostNorm, cheap_kernel_size=row.kernel_size)
        made = GhostBottleneck(width, row._replace(squeeze=False), ghost_layer=ghost)
        if row.stride == 1 and isinstance(made.shortcut, nn.Sequential):
            made.shortcut = made.shortcut[1]
        return made

    trunk = GhostNet(blocks=[block] * len(BLOCKS)).trunk()
    costs = count_params(trunk), count_macs(trunk, IMAGE), count_thop(trunk, IMAGE)
    assert costs == (1_055_832, 135_408_560, 149_310_448)


def test_trunk_is_the_networks_own_and_leads_to_its_classes():
    net = ghostnet(width_mult=0.5).eval()
    images, trunk = torch.randn(1, 3, 64, 64), net.trunk()
    found = trunk(images)
    assert list(found) == ["C2", "C3", "C4", "C5"]
    embeddings = net.head(net.pool(net.last_conv(found["C5"]))).flatten(1)
    assert torch.equal(net.classifier(embeddings), net(images))
    assert {id(value) for value in trunk.parameters()} < {id(value) for value in net.parameters()}
    assert set(trunk.state_dict()) < set(net.state_dict())  # the names are the same, too


def test_stages_are_the_whole_trunk_and_end_in_its_maps():
    trunk = ghostnet(width_mult=0.5).trunk().eval()
    maps = images = torch.randn(1, 3, 64, 64)
    ends = []
    for stage in trunk.stages():
        maps = stage(maps)
        ends.append(maps)
    assert [64 // end.shape[-1] for end in ends] == [2, 4, 8, 16, 32]
    for end, expected in zip(ends[1:], trunk(images).values(), strict=True):
        assert torch.equal(end, expected)


@pytest.mark.parametrize(
    ("factory", "backbone"),
    [
        (faster_rcnn, ghostnet),
        (faster_rcnn, ghostnet_v2),
        (faster_rcnn, repghostnet),
        (retinanet_ghostnet, ghostnet),
    ],
)
def test_every_parameter_gets_a_gradient(factory, backbone, batch):
    net = build(factory, backbone=backbone)
    sum(net(*batch).values()).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None]
    assert without == []
    body = net.backbone.body.named_parameters()
    assert [name for name, p in body if not p.grad.any()] == []


def test_c4_has_112_channels():
    net = faster_rcnn_ghostnet(2, backbone=ghostnet())
    assert [block[0].in_channels for block in net.backbone.fpn.inner_blocks] == [24, 40, 112, 160]


@pytest.mark.parametrize(
    ("factory", "strides"),
    [
        (faster_rcnn, {"P2": 4, "P3": 8, "P4": 16, "P5": 32, "P6": 64}),
        (retinanet_ghostnet, {"P3": 8, "P4": 16, "P5": 32, "P6": 64, "P7": 128}),
    ],
)
def test_levels_of_the_pyramid(factory, strides):
    levels = build(factory).eval().backbone(torch.zeros(1, 3, 128, 256))
    assert {name: 256 // level.shape[-1] for name, level in levels.items()} == strides
    assert {level.shape[1] for level in levels.values()} == {256}


def test_first_stages_freeze_with_their_norms(batch):
    net = build(faster_rcnn, trainable_stages=3)
    stages = net.backbone.body.stages()
    frozen = [not any(p.requires_grad for p in stage.parameters()) for stage in stages]
    assert frozen == [True, True, False, False, False]
    has_norm = [any(isinstance(m, nn.BatchNorm2d) for m in stage.modules()) for stage in stages]
    assert has_norm == [False, False, True, True, True]
    before = {key: value.clone() for key, value in stages[1].state_dict().items()}
    sum(net(*batch).values()).backward()
    torch.testing.assert_close(dict(stages[1].state_dict()), before, rtol=0, atol=0)


def test_frozen_norms_compute_what_norms_in_eval_mode_do():
    trunk = ghostnet(width_mult=0.5).trunk().double()
    trunk(torch.randn(4, 3, 64, 64).double())  # statistics that are not 0 and 1
    images = torch.randn(1, 3, 64, 64).double()
    expected = trunk.eval()(images)["C5"]
    freeze_norms(trunk)
    assert any(isinstance(module, FrozenBatchNorm2d) for module in trunk.modules())
    torch.testing.assert_close(trunk.train()(images)["C5"], expected)


@pytest.mark.parametrize("factory", [faster_rcnn, retinanet_ghostnet])
def test_boxes_keep_float32_under_autocast(factory, batch):
    images, targets = batch
    net = build(factory)
    exact = net(images, targets)
    with torch.autocast("cpu", torch.bfloat16):
        losses = net(images, targets)
        detections, _ = net.eval()(images)
    part = net.rpn if factory is faster_rcnn else net
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert part.anchor_generator.cell_anchors[0].dtype == torch.float32
    assert detections["boxes"].dtype == detections["scores"].dtype == torch.float32
    for name, loss in losses.items():  # proposals are sampled: not the same ones
        assert loss.item() == pytest.approx(exact[name].item(), rel=0.2, abs=0.1)


def test_anchors_have_the_sizes_asked_for():
    faster = build(faster_rcnn).rpn.anchor_generator.cell_anchors
    retina = build(retinanet_ghostnet).anchor_generator.cell_anchors
    for size, of_faster, of_retina in zip(SMALL["anchor_sizes"], faster, retina, strict=True):
        areas = (of_faster[:, 2:] - of_faster[:, :2]).prod(dim=1)
        assert areas.sqrt().tolist() == pytest.approx([size] * 3, rel=0.1)
        assert len(of_retina) == 9
        largest = (of_retina[:, 2:] - of_retina[:, :2]).prod(dim=1).sqrt().max().item()
        assert largest == pytest.approx(2 ** (2 / 3) * size, rel=0.1)


def test_default_heads_are_torchvisions():
    theirs = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=3)
    ours = build(faster_rcnn_ghostnet)
    for part in ("rpn", "roi_heads"):
        shapes = [
            {name: p.shape for name, p in net.get_submodule(part).named_parameters()}
            for net in (ours, theirs)
        ]
        assert shapes[0] == shapes[1]
    for name in ("_pre_nms_top_n", "_post_nms_top_n"):
        assert getattr(ours.rpn, name) == getattr(theirs.rpn, name)
    assert count_params(build(retinanet_ghostnet).head) == count_params(RetinaNetHead(256, 9, 3))


def test_heads_have_the_size_asked_for(batch):
    heads = FasterHeads(channels=32, features=48, proposals=20, rois_per_image=4)
    net = build(faster_rcnn_ghostnet, heads=heads)
    assert {level.shape[1] for level in net.backbone(torch.zeros(2, 3, 64, 64)).values()} == {32}
    head, predictor = net.roi_heads.box_head, net.roi_heads.box_predictor
    assert (head.fc6.in_features, head.fc7.out_features) == (32 * 7 * 7, 48)
    assert (predictor.cls_score.in_features, predictor.cls_score.out_features) == (48, 3)
    seen = []
    head.register_forward_hook(lambda module, inputs, outputs: seen.append(len(outputs)))
    net(*batch)
    net.eval()(batch[0])
    assert seen == [2 * 4, seen[1]]
    assert seen[1] <= 2 * 10

    net = build(retinanet_ghostnet, heads=RetinaHeads(channels=32, convs=2, group_norm=True))
    for part in (net.head.classification_head, net.head.regression_head):
        kinds = [type(layer) for layer in part.conv.modules() if not list(layer.children())]
        assert kinds == [nn.Conv2d, nn.GroupNorm, nn.ReLU] * 2
    sum(net(*batch).values()).backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


def test_images_of_the_right_size_are_not_resized(batch):
    """What a data set has shrunk to min_size x max_size only gets normalised."""
    transform = build(retinanet_ghostnet).transform
    image = batch[0][0]
    (images, targets) = transform([image], [batch[1][0]])
    torch.testing.assert_close(images.tensors[0], transform.normalize(image), rtol=0, atol=0)
    assert torch.equal(targets[0]["boxes"], batch[1][0]["boxes"])


def test_peer_is_torchvisions_own():
    sizes = {"min_size": 96, "max_size": 128}
    theirs = fasterrcnn_mobilenet_v3_large_fpn(
        weights=None, weights_backbone=None, num_classes=3, **sizes
    ).eval()
    ours = faster_rcnn_mobilenet_v3(2, **sizes).eval()
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(3, 96, 128)
    torch.testing.assert_close(ours([image]), theirs([image]), rtol=0, atol=0)
    assert ours.rpn.score_thresh == theirs.rpn.score_thresh


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"anchor_sizes": (8, 16)}, "five sizes above 0, one for each of P3 to P7"),
        ({"min_size": 200}, "at most max_size=128, not 200"),
        ({"trainable_stages": 6}, "trainable_stages is 0 to 5"),
    ],
)
def test_bad_values_get_a_sentence(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(retinanet_ghostnet, **options)


def test_peers_pyramid_has_its_own_width():
    with pytest.raises(
        ValueError, match=r"heads\.channels is 256 for torchvision's pyramid, not 64"
    ):
        faster_rcnn_mobilenet_v3(2, heads=FasterHeads(channels=64))


@pytest.mark.parametrize(
    ("heads", "options", "sentence"),
    [
        (FasterHeads, {"channels": 0}, "channels is a whole number of at least 1, not 0"),
        (FasterHeads, {"proposals": 1}, "proposals is a whole number of at least 2, not 1"),
        (FasterHeads, {"rois_per_image": 0.5}, "rois_per_image is a whole number of at least 1"),
        (RetinaHeads, {"convs": 5}, "convs is at most 4, not 5"),
        (RetinaHeads, {"channels": 48, "group_norm": True}, "a multiple of 32 with group_norm"),
    ],
)
def test_bad_heads_get_a_sentence(heads, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        heads(**options)


def test_a_backbone_must_have_a_trunk():
    with pytest.raises(ValueError, match=r"trunk\(\).*not ResNet"):
        retinanet_ghostnet(2, backbone=resnet18())
