"""Conversion of any network: its dense 2-D convolutions become Ghost modules.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.2,
https://arxiv.org/abs/1911.11907. A Ghost module with new, trainable weights stands where a
convolution stood; the rest of the network is untouched.
"""

import logging
from collections.abc import Sequence
from functools import partial

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.layers.ghost import GhostModule
from ghostexp.models.conversion_plan import ConversionRow, Plan, Step, Wishes, make_plan
from ghostexp.models.convolutions import places_in
from ghostexp.models.filters import keep_filters

logger = logging.getLogger(__name__)

INITS = ("fresh", "filters")


def plan_conversion(
    net: nn.Module,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    *,
    skip: Sequence[str] = (),
    only: Sequence[str] | None = None,
    inner_norm: bool = False,
    image_size: int | None = None,
) -> list[ConversionRow]:
    """One row for each convolution of `net`: what `convert_to_ghost` would do with it."""
    wishes = Wishes(ratio, cheap_kernel_size, skip, only, inner_norm, image_size)
    return [step.row for step in make_plan(net, wishes).steps]


def convert_to_ghost(
    net: nn.Module,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    *,
    skip: Sequence[str] = (),
    only: Sequence[str] | None = None,
    inner_norm: bool = False,
    image_size: int | None = None,
    init: str = "fresh",
) -> nn.Module:
    """Replace the dense convolutions of `net` in place and return it; ratio 1 replaces none.

    What cannot be replaced, or would gain nothing by it, stays as it is; `plan_conversion` gives
    the reason for each layer. `skip` holds names, or patterns such as "blocks.*", of convolutions
    that stay dense. `only` names those to convert instead of our judgement: also a convolution
    that makes the network's output, or one that does not get smaller, as far as it is possible.
    A bias is dropped where a batch norm follows, which would cancel it; `inner_norm` moves that
    batch norm into both halves. `image_size` is the side of the images that the network will
    see, for the trial run that the plan is made from; without it common sizes are tried.

    `init` "fresh" draws new weights that keep the variance of the maps. "filters" takes them from
    the filters of a trained `net`; see `ghostexp.models.filters`.

    For a `net` that is a convolution itself its Ghost module is returned. ValueError, with `net`
    untouched, for a wrong value or a pattern that matches no convolution.
    """
    if init not in INITS:
        raise ValueError(f"init is {' or '.join(INITS)}, not {init}")
    if init == "filters" and inner_norm:
        raise ValueError("init=filters keeps the batch norm of the dense layer: inner_norm=false")
    wishes = Wishes(ratio, cheap_kernel_size, skip, only, inner_norm, image_size)
    plan = make_plan(net, wishes)
    trained = _is_trained(net)
    converted = net
    for step in plan.steps:
        logger.debug("%s", step.row)
        if step.row.replaced:
            ghost = _build(step, wishes)
            layer = keep_filters(step.found.conv, ghost) if init == "filters" else ghost
            if step.found.conv is net:
                converted = layer
            norms = [] if step.norm is None else places_in(net)[step.norm]
            for parent, name in step.found.places:
                parent.add_module(name, layer)
            for parent, name in norms:
                parent.add_module(name, nn.Identity())
    _report(net, plan, wishes, lost=trained and init == "fresh")
    return converted


def _build(step: Step, wishes: Wishes) -> GhostModule:
    norm_layer = None
    if step.norm is not None:
        norm_layer = partial(
            type(step.norm),
            eps=step.norm.eps,
            momentum=step.norm.momentum,
            affine=step.norm.affine,
            track_running_stats=step.norm.track_running_stats,
        )
    return GhostModule.from_conv(
        step.found.conv,
        ratio=wishes.ratio,
        cheap_kernel_size=wishes.cheap_kernel_size,
        bias=step.bias,
        norm_layer=norm_layer,
        map_size=step.map_size,
    )


def _is_trained(net: nn.Module) -> bool:
    """Whether a batch norm of `net` has seen images; a network without any does not tell."""
    means = [module.running_mean for module in net.modules() if isinstance(module, _BatchNorm)]
    return any(mean is not None and not mean.is_meta and bool(mean.any()) for mean in means)


def _report(net: nn.Module, plan: Plan, wishes: Wishes, *, lost: bool) -> None:
    """One line on what was done, and one for each thing that the user should know."""
    steps = plan.steps
    replaced = sum(step.row.replaced for step in steps)
    logger.info("ratio %d: %d of %d convolutions replaced", wishes.ratio, replaced, len(steps))
    if plan.failure is not None:
        logger.warning(
            "%s could not be run on trial images (%s): batch norms are taken by order of"
            " registration, and a convolution that makes the outputs is not recognised; name such"
            " a layer in skip",
            type(net).__name__,
            plan.failure,
        )
    if replaced and lost:
        logger.warning(
            "%s is trained, and its %d replaced convolutions lose their filters for new weights;"
            " init=filters keeps what a Ghost module can keep of them",
            type(net).__name__,
            replaced,
        )
    if wishes.ratio > 1 and not replaced:
        reasons = sorted({step.row.reason for step in steps}) or ["it has no Conv2d"]
        logger.warning(
            "%s holds nothing to convert and stays as it is: %s",
            type(net).__name__,
            "; ".join(reasons),
        )
