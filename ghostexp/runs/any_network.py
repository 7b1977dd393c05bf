"""Any network through conversion, training, fusing and export: one row of a table for each.

A row says what was done, or which stage stopped with which sentence. Names are `torchvision.NAME`,
of `torchvision.models.get_model`, and `timm.NAME`, of `timm.create_model`.
"""

import math
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from ghostexp.deploy.fuse import batch_norms, fuse_and_report
from ghostexp.layers.ghost import GhostModule
from ghostexp.models.convert import carry_out, plan_conversion

SIDES = (64, 96, 128, 160, 192, 224, 256)  # pixels; the first that a network takes
DETECTORS_SIDE = 256
CLASSES = 10
STEPS = 3  # a last scale that begins at 0 lets gradients through from the second step on


@dataclass
class Row:
    """What became of one network; empty fields where a stage before them stopped."""

    network: str
    side: int = 0  # pixels
    convolutions: int = 0
    replaced: int = 0
    kept: dict[str, int] = field(default_factory=dict)  # reason -> convolutions
    params_before: int = 0
    params_after: int = 0
    loss: float | None = None
    without_gradient: list[str] = field(default_factory=list)  # by the conversion
    dense_without_gradient: int = 0  # parameters that get no gradient in the dense network either
    dead_taps: int = 0  # positions in cheap kernels without a gradient in any channel
    norms: int = 0
    norms_left: dict[str, int] = field(default_factory=dict)  # reason -> batch norms
    fused_difference: float | None = None  # largest, over the largest output
    onnx_difference: float | None = None
    stopped: str = ""  # stage: sentence
    seconds: float = 0.0


def examine(network: str, *, export: bool = False) -> Row:
    """The row of one network. No error of a stage gets out: it is the row's `stopped`."""
    row = Row(network)
    start = time.perf_counter()
    torch.manual_seed(0)
    stage = "build"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dense = _build(network)
            stage = "convert"
            row.side = _side(dense)
            net = _convert(dense, row)
            stage = "train"
            _train(net, dense, row)
            stage = "fuse"
            fused = _fuse(net, row)
            stage = "export"
            if export and not _is_detector(net):
                row.onnx_difference = _export(fused, row.side)
    except Exception as error:  # of code that others wrote; the table is there to show it
        row.stopped = f"{stage}: {type(error).__name__}: {error}".partition("\n")[0][:300]
    row.seconds = round(time.perf_counter() - start, 1)
    return row


def _build(network: str) -> nn.Module:
    source, _, name = network.partition(".")
    if source == "timm":
        import timm  # an extra

        return timm.create_model(name, num_classes=CLASSES)
    options = {"weights": None, "num_classes": CLASSES}
    if name in torchvision.models.list_models(torchvision.models.detection):
        options["weights_backbone"] = None
    if name in ("googlenet", "inception_v3"):
        options["init_weights"] = False  # scipy's truncated normal takes a minute
    return torchvision.models.get_model(name, **options)


def _is_detector(net: nn.Module) -> bool:
    return any(isinstance(module, GeneralizedRCNNTransform) for module in net.modules())


def _side(net: nn.Module) -> int:
    """The smallest of our sides that the network takes, else the side it was made for."""
    if _is_detector(net):
        for module in net.modules():
            if isinstance(module, GeneralizedRCNNTransform) and module.fixed_size is None:
                module.min_size, module.max_size = (DETECTORS_SIDE,), DETECTORS_SIDE
        return DETECTORS_SIDE
    made_for = getattr(net, "default_cfg", {}).get("input_size", (3, 299, 299))[-1]
    sides = [*(side for side in SIDES if side < made_for), made_for]
    copy = deepcopy(net)  # a forward pass in training mode changes statistics
    return next((side for side in sides if _takes(copy, side)), made_for)


def _takes(net: nn.Module, side: int) -> bool:
    images = torch.zeros(2, 3, side, side)
    try:
        with torch.no_grad():
            net.eval()(images)
            net.train()(images)  # auxiliary classifiers need larger images
    except Exception:  # a network says in any way that it does not take a size
        return False
    return True


def _convert(dense: nn.Module, row: Row) -> nn.Module:
    side = None if _is_detector(dense) else row.side
    plan = plan_conversion(deepcopy(dense), image_size=side)
    row.convolutions = len(plan.rows)
    row.replaced = sum(each.replaced for each in plan.rows)
    row.kept = _counted(each.reason for each in plan.rows if not each.replaced)
    row.params_before = sum(parameter.numel() for parameter in dense.parameters())
    net = carry_out(plan)
    row.params_after = sum(parameter.numel() for parameter in net.parameters())
    return net


def _counted(reasons) -> dict[str, int]:
    """Reasons with how often each was given, whatever the names and numbers in them."""
    plain = Counter(re.sub(r"\d[\d,]*", "N", re.sub(r"\b[\w.]+\.\w+\b", "…", r)) for r in reasons)
    return dict(plain.most_common())


def _train(net: nn.Module, dense: nn.Module, row: Row) -> None:
    """Steps of SGD, also of the dense network where the conversion has to be told from it."""
    row.loss, missing = _steps(net, row.side)
    row.dead_taps = sum(
        int((module.cheap_operation[0].weight.grad.abs().amax((0, 1)) == 0).sum())
        for module in net.modules()
        if isinstance(module, GhostModule) and _is_reached(module.cheap_operation[0].weight)
    )
    if not math.isfinite(row.loss):
        raise ValueError(f"the loss is {row.loss}")
    if missing:
        _, as_before = _steps(dense, row.side)
        row.dense_without_gradient = len(as_before)
        row.without_gradient = [name for name in missing if _dense_name(name) not in as_before]


def _dense_name(name: str) -> str:
    """Name of a parameter of a Ghost module in the network before the conversion."""
    return re.sub(r"\.(primary_conv|cheap_operation)\.0\.", ".", name)


def _is_reached(parameter: nn.Parameter) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())


def _steps(net: nn.Module, side: int) -> tuple[float, list[str]]:
    """The last loss, and the parameters that never got a gradient other than 0."""
    torch.manual_seed(1)
    loss_of = _detection_loss if _is_detector(net) else _classification_loss
    reached: set[str] = set()
    loss = math.nan
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        value = loss_of(net, side)
        value.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        reached |= {name for name, parameter in net.named_parameters() if _is_reached(parameter)}
        optimizer.step()
        loss = value.item()
    trained = (name for name, parameter in net.named_parameters() if parameter.requires_grad)
    return loss, [name for name in trained if name not in reached]


def _classification_loss(net: nn.Module, side: int) -> Tensor:
    outputs = net(torch.randn(4, 3, side, side))
    labels = torch.tensor([1, 7, 3, 0])
    logits = list(_tensors(outputs))  # auxiliary classifiers too
    return sum(nn.functional.cross_entropy(each, labels) for each in logits)


def _detection_loss(net: nn.Module, side: int) -> Tensor:
    box = torch.tensor([[8.0, 8.0, side * 0.6, side * 0.7]])
    target = {"boxes": box, "labels": torch.tensor([1])}
    target["masks"] = torch.ones(1, side, side, dtype=torch.uint8)
    target["keypoints"] = torch.tensor([[[20.0, 20.0, 1.0]] * 17])
    # four of them: a batch norm of two values lets no gradient through
    images = list(torch.rand(4, 3, side, side))
    losses = net(images, [dict(target) for _ in images])
    return sum(losses.values())


def _tensors(outputs: object):
    if isinstance(outputs, Tensor):
        yield outputs
    elif isinstance(outputs, list | tuple):
        yield from (each for output in outputs for each in _tensors(output))
    elif isinstance(outputs, dict):
        yield from (each for output in outputs.values() for each in _tensors(output))


def _fuse(net: nn.Module, row: Row) -> nn.Module:
    fused = fuse_and_report(net.eval())
    row.norms = len(batch_norms(net))
    row.norms_left = _counted(fused.left.values())
    features: Callable[[nn.Module], nn.Module] = (
        (lambda whole: whole.backbone) if _is_detector(net) else (lambda whole: whole)
    )
    images = _images(row.side)
    with torch.no_grad():
        row.fused_difference = _difference(features(net)(images), features(fused.net)(images))
    return fused.net


def _images(side: int) -> Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))


def _difference(expected: object, found: object) -> float:
    """The largest difference over the largest value, of all tensors of two outputs."""
    pairs = list(zip(_tensors(expected), _tensors(found), strict=True))
    largest = max(float(one.abs().max()) for one, _ in pairs)
    return max(float((one - other).abs().max()) for one, other in pairs) / max(largest, 1e-12)


def _export(fused: nn.Module, side: int) -> float:
    """Largest difference between the network and its ONNX file in ONNX Runtime."""
    from ghostexp.deploy.engines import onnx_runtime  # both need the extra `export`
    from ghostexp.deploy.export import Form, to_onnx

    images = _images(side)[:1]
    model = to_onnx(fused, images, Form("onnx"))
    with torch.no_grad():
        return _difference(fused(images), onnx_runtime(model, 1)(images))
