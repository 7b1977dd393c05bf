"""Every classifier of conf/model as torch.fx, torchvision's extractor and torch.export see it.

Of networks whose YAMLs differ in a number only one is traced; those with a width are narrow.
"""

import re

import pytest
import torch
from helpers import ROOT
from torch import fx, nn
from torch.export import Dim
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.deploy.fuse import fuse

SAME_BLOCKS = re.compile(r"(?!ghost_resnet).*_(\d{3}|m|l)|resnet(?!20)\d+")
DETECTOR = re.compile("faster_rcnn|retinanet")
CLASSIFIERS = sorted(
    path.stem
    for path in (ROOT / "conf" / "model").glob("*.yaml")
    if not (SAME_BLOCKS.fullmatch(path.stem) or DETECTOR.match(path.stem))
)
SIZE = 64  # pixels
# ghostnet_v2 holds the blocks of ghostnet, and those of ghostnet_v3 but for branches that are fused
# before an export; ghost_vgg16 and ghost_resnet56 hold the blocks of the next two; the last is
# torchvision's; the blocks of repghostnet are those of ghostnet_v3, and those of the RegNets are
# those of g_ghost_resnet56 and ghost_resnet50
NOT_EXPORTED = (
    *("ghostnet", "ghostnet_v3", "repghostnet", "regnet_x", "g_ghost_regnet_x"),
    *("vgg16", "ghost_resnet50", "efficientnet_v2_s"),
)
LARGER = {"ghostnet_v2": 128}  # a side of one pixel is taken for fixed


@pytest.fixture(scope="module", params=CLASSIFIERS)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def net(name):
    cfg = compose_config(["dataset=cifar10", f"model={name}"])
    for key in ("width_mult", "depth_mult"):
        if key in cfg.model:
            cfg.model[key] = 0.2
    return build_network(cfg).eval().requires_grad_(False)


def images(count, height=SIZE, width=SIZE):
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(count))


def check(traced, net, inputs):
    expected = net(inputs)
    torch.testing.assert_close(
        traced(inputs), expected, rtol=0, atol=1e-4 * float(expected.detach().abs().max())
    )


@pytest.mark.parametrize("fused", [False, True], ids=["", "fused"])
def test_torch_fx_sees_the_whole_network(name, net, fused):
    if fused and "ghost" not in name:
        pytest.skip("without Ghost modules a fused network has the layers of the other")
    net = fuse(net) if fused else net
    graph = fx.symbolic_trace(net)
    check(graph, net, images(2))
    names = get_graph_node_names(net)[1]
    features = create_feature_extractor(net, [names[-3], names[-1]])(images(2))
    expected = net(images(2))
    torch.testing.assert_close(features[names[-1]], expected)
    assert features[names[-3]].shape[0] == 2


@pytest.mark.slow
def test_torch_export_takes_every_batch_and_every_size(name, net):
    if name in NOT_EXPORTED:
        pytest.skip("its blocks are exported elsewhere")
    size = LARGER.get(name, SIZE)
    shapes = ({0: Dim.DYNAMIC, 2: Dim.AUTO, 3: Dim.AUTO},)
    program = torch.export.export(net, (images(2, size, size),), dynamic_shapes=shapes).module()
    check(program, net, images(5, size, size))
    check(program, net, images(3, size + 32, size + 64))


def test_a_size_that_is_too_small_is_still_a_sentence():
    cfg = compose_config(["dataset=cifar10", "model=vgg16"])
    net: nn.Module = build_network(cfg).eval()
    for each in (net, fx.symbolic_trace(net)):
        with pytest.raises(ValueError, match="VGG's poolings need images .* 32x32 .*, not 16x32"):
            each(images(1, 16, 32))
