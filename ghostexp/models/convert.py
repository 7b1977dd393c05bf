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
from ghostexp.models.conversion_plan import ConversionPlan, Step, make_plan
from ghostexp.models.convolutions import places_in
from ghostexp.models.filters import keep_filters
from ghostexp.models.kept_convolutions import Wishes

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
) -> ConversionPlan:
    """What `convert_to_ghost` would do with each convolution of `net`: `plan.rows` say it.

    `carry_out` does it. `convert_to_ghost` explains the arguments.
    """
    return make_plan(net, Wishes(ratio, cheap_kernel_size, skip, only, inner_norm, image_size))


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

    A convolution that cannot be replaced, or would gain nothing, stays as it is; `plan_conversion`
    gives the reason for each. `skip` holds names, or patterns such as "blocks.*", of convolutions
    that stay dense. `only` names the convolutions to convert, and then our judgement does not
    count: a convolution that makes the network's output, or one that does not get smaller, is
    converted as well if that is possible. If none of them can be converted, that is an error.

    A bias is dropped where a batch norm follows, which would cancel it. `inner_norm` moves that
    batch norm into both halves. `image_size` is the side of the images that the network will see,
    for the trial run that the plan is made from. Without it common sizes are tried.

    `init` "fresh" draws new weights that keep the variance of the maps. "filters" takes the weights
    from the filters of a trained `net`; see `ghostexp.models.filters`.

    If `net` is a convolution itself, its Ghost module is returned. ValueError, with `net`
    untouched, for a wrong value or a pattern that matches no convolution.
    """
    _check_init(init, inner_norm)
    plan = make_plan(net, Wishes(ratio, cheap_kernel_size, skip, only, inner_norm, image_size))
    if only and ratio > 1 and not any(row.replaced for row in plan.rows):
        raise ValueError(f"ratio={ratio} converts no layer of {type(net).__name__}: {_why(plan)}")
    return carry_out(plan, init=init)


def carry_out(plan: ConversionPlan, *, init: str = "fresh") -> nn.Module:
    """Convert the network of `plan` in place and return it, as `convert_to_ghost` does.

    A plan holds for the network as it was when the plan was made, so it is carried out once.
    """
    _check_init(init, plan.wishes.inner_norm)
    converted = net = plan.net
    trained = _is_trained(net)
    for step in plan.steps:
        logger.debug("%s", step.row)
        if step.row.replaced:
            layer = _build(step, plan.wishes)
            if init == "filters":
                layer = keep_filters(step.found.conv, layer)
            if step.found.conv is net:
                converted = layer
            _put_in_place(net, step, layer)
    _report(plan, lost=trained and init == "fresh")
    return converted


def _check_init(init: str, inner_norm: bool) -> None:
    if init not in INITS:
        raise ValueError(f"init is {' or '.join(INITS)}, not {init}")
    if init == "filters" and inner_norm:
        raise ValueError("init=filters keeps the batch norm of the dense layer: inner_norm=false")


def _put_in_place(net: nn.Module, step: Step, layer: nn.Module) -> None:
    """Put `layer` where the convolution stood, and nothing where a norm that moved inside did."""
    norms = [] if step.norm is None else places_in(net)[step.norm]
    for parent, name in step.found.places:
        parent.add_module(name, layer)
    for parent, name in norms:
        parent.add_module(name, nn.Identity())


def _build(step: Step, wishes: Wishes) -> GhostModule:
    norm_layer = None
    if step.norm is not None:
        norm_layer = partial(
            step.norm.__class__,
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


def _report(plan: ConversionPlan, *, lost: bool) -> None:
    """One line on what was done, and one for each thing that the user should know."""
    rows, ratio = plan.rows, plan.wishes.ratio
    network = type(plan.net).__name__
    replaced = sum(row.replaced for row in rows)
    logger.info("ratio %d: %d of %d convolutions replaced", ratio, replaced, len(rows))
    if plan.failure is not None:
        logger.warning(
            "%s could not be run on trial images (%s): batch norms are taken by order of"
            " registration, and a convolution that makes the outputs is not recognised; name such"
            " a layer in skip",
            network,
            plan.failure,
        )
    if replaced and lost:
        logger.warning(
            "%s is trained, and its %d replaced convolutions lose their filters for new weights;"
            " init=filters keeps what a Ghost module can keep of them",
            network,
            replaced,
        )
    if ratio > 1 and not replaced:
        logger.warning("%s holds nothing to convert and stays as it is: %s", network, _why(plan))


def _why(plan: ConversionPlan) -> str:
    """The reasons for which a network's convolutions stay as they are."""
    return "; ".join(sorted({row.reason for row in plan.rows}) or ["it has no Conv2d"])
