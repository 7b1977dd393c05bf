"""GhostNets and RepGhostNets of conf/model against timm's: same weights, same outputs."""

import pytest
import torch
from omegaconf import OmegaConf
from torch import nn

from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.layers.rep_ghost import fuse_branches

timm = pytest.importorskip("timm", reason="parity needs timm: install ghostexp[timm]")


def from_conf(name: str, **overrides: float) -> nn.Module:
    settings = [f"model.{key}={value}" for key, value in overrides.items()]
    cfg = compose_config(["dataset=imagenet", f"model={name}", *settings])
    OmegaConf.update(cfg, "run_dir", "run")
    return build_network(cfg).eval()


def reference(name: str) -> nn.Module:
    """timm's network with random weights and batch-norm statistics far from 0 and 1."""
    torch.manual_seed(0)
    net = timm.create_model(name).eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    return net


def copy_by_order(source: nn.Module, target: nn.Module) -> int:
    """Copy all state entries, whose shapes must agree one by one; how many there are."""
    old, new = source.state_dict(), target.state_dict()
    shapes = [tuple(value.shape) for value in old.values()]
    assert shapes == [tuple(value.shape) for value in new.values()]
    target.load_state_dict(dict(zip(new, old.values(), strict=True)))
    return len(shapes)


@pytest.mark.parametrize(
    ("timm_name", "name", "overrides", "entries"),
    [
        ("ghostnet_050", "ghostnet_050", {}, 512),
        ("ghostnet_100", "ghostnet", {}, 512),
        ("ghostnet_130", "ghostnet_130", {}, 512),
        ("ghostnetv2_100", "ghostnet_v2", {}, 764),
        ("ghostnetv2_130", "ghostnet_v2", {"width_mult": 1.3}, 764),
        ("ghostnetv2_160", "ghostnet_v2", {"width_mult": 1.6}, 764),
    ],
)
def test_outputs_are_bit_equal(timm_name, name, overrides, entries):
    theirs, ours = reference(timm_name), from_conf(name, **overrides)
    assert copy_by_order(theirs, ours) == entries
    images = torch.randn(2, 3, 96, 96)  # C5 of 3x3: attention upsamples to an odd size
    with torch.no_grad():
        logits = ours(images)
        assert logits.std() > 0.01
        assert torch.equal(logits, theirs(images))


@pytest.mark.parametrize("width_mult", [0.5, 1.0, 1.3])
def test_version_3_agrees_before_and_after_fusion(width_mult):
    theirs = reference(f"ghostnetv3_{round(100 * width_mult):03d}")
    ours = from_conf("ghostnet_v3", width_mult=width_mult)
    assert copy_by_order(theirs, ours) == 1956
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        logits = theirs(images)
        torch.testing.assert_close(ours(images), logits, rtol=1e-5, atol=1e-5)
        deployed = fuse_branches(ours)
        torch.testing.assert_close(deployed(images), logits, rtol=1e-5, atol=1e-5)
    fused = timm.utils.reparameterize_model(theirs)
    assert sorted(p.shape for p in deployed.parameters()) == sorted(
        p.shape for p in fused.parameters()
    )


@pytest.mark.parametrize("width", ["050", "058", "080", "", "111", "130", "150", "200"])
def test_repghostnet_is_timms_in_both_forms(width):
    theirs = reference(f"repghostnet_{width or '100'}")
    ours = from_conf(f"repghostnet_{width}".rstrip("_"))
    assert copy_by_order(theirs, ours) == 672
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        logits = theirs(images)
        assert logits.std() > 0.01
        assert torch.equal(ours(images), logits)
        deployed = fuse_branches(ours)
        theirs_deployed = timm.utils.reparameterize_model(theirs)
        limit = 1e-5 * float(logits.abs().max())
        torch.testing.assert_close(deployed(images), logits, rtol=0, atol=limit)
        torch.testing.assert_close(deployed(images), theirs_deployed(images), rtol=0, atol=limit)
    assert sorted(p.shape for p in deployed.parameters()) == sorted(
        p.shape for p in theirs_deployed.parameters()
    )
