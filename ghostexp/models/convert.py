"""Conversion of any network: its dense 2-D convolutions become Ghost modules.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.2,
https://arxiv.org/abs/1911.11907. A Ghost module with new, trainable weights stands where a
convolution stood; the rest of the network is untouched.
"""

import logging
from collections.abc import Sequence
from functools import partial

from torch import nn

from ghostexp.layers.ghost import GhostModule
from ghostexp.models.conversion_plan import ConversionRow, Step, plan_steps

logger = logging.getLogger(__name__)


def plan_conversion(
    net: nn.Module,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    *,
    skip: Sequence[str] = (),
    only: Sequence[str] | None = None,
    inner_norm: bool = False,
) -> list[ConversionRow]:
    """One row for each convolution of `net`: what `convert_to_ghost` would do with it."""
    steps = plan_steps(net, ratio, cheap_kernel_size, skip, only, inner_norm)
    return [step.row for step in steps]


def convert_to_ghost(
    net: nn.Module,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    *,
    skip: Sequence[str] = (),
    only: Sequence[str] | None = None,
    inner_norm: bool = False,
) -> nn.Module:
    """Replace the dense convolutions of `net` in place and return it; ratio 1 replaces none.

    `skip` and `only` hold names, or patterns such as "blocks.*", of convolutions to keep dense, or
    to convert alone. A bias is dropped where a batch norm follows, which would cancel it;
    `inner_norm` moves that batch norm into both halves. For a `net` that is a convolution itself
    its Ghost module is returned. ValueError, with `net` untouched, where a layer cannot have this
    ratio or a pattern matches no convolution.
    """
    steps = plan_steps(net, ratio, cheap_kernel_size, skip, only, inner_norm)
    for step in steps:
        logger.debug("%s", step.row)
        if step.row.replaced:
            ghost = _build(step, ratio, cheap_kernel_size)
            if step.found.conv is net:
                return ghost
            for parent, child_name in step.found.places:
                parent.add_module(child_name, ghost)
                if step.norm_name is not None:
                    parent.add_module(step.norm_name, nn.Identity())
    replaced = sum(step.row.replaced for step in steps)
    logger.info("ratio %d: %d of %d convolutions replaced", ratio, replaced, len(steps))
    if ratio > 1 and not replaced:
        reasons = sorted({step.row.reason for step in steps}) or ["it has no Conv2d"]
        logger.warning(
            "%s holds nothing to convert and stays as it is: %s",
            type(net).__name__,
            "; ".join(reasons),
        )
    return net


def _build(step: Step, ratio: int, cheap_kernel_size: int) -> GhostModule:
    norm_layer = None
    if step.norm_name is not None:
        parent, _ = step.found.places[0]
        norm = parent.get_submodule(step.norm_name)
        norm_layer = partial(
            type(norm),
            eps=norm.eps,
            momentum=norm.momentum,
            affine=norm.affine,
            track_running_stats=norm.track_running_stats,
        )
    return GhostModule.from_conv(
        step.found.conv,
        ratio=ratio,
        cheap_kernel_size=cheap_kernel_size,
        bias=step.bias,
        norm_layer=norm_layer,
    )
