"""Cost of a network: parameters, multiply-adds, and the figure that the thop package prints.

`macs` are the multiply-adds of convolutions and linear layers, without bias and batch norm: half
of what `torch.utils.flop_counter` gives, and what the GhostNet papers call FLOPs. Only layers of
torch.nn are seen, not products that a forward computes itself.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd


@dataclass(frozen=True)
class LayerRow:
    """One call of one layer: its output without the batch axis, its own parameters and macs.

    A layer that is called again has its parameters in the first row only.
    """

    name: str
    type: str
    out_shape: tuple[int, ...]
    params: int
    macs: int


@dataclass(frozen=True)
class _Call:
    layer: nn.Module
    in_elements: int
    out_shape: torch.Size


def count_params(net: nn.Module) -> int:
    """Number of parameters, a shared one counted once."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_trainable_params(net: nn.Module) -> int:
    """Number of parameters that an optimizer may change."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def count_macs(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-adds for one input of `input_shape`, batch axis excluded: (3, 32, 32).

    Of a detector with proposals: with as many as it keeps at most in evaluation.
    """
    return sum(_macs(call) for call in _run(net, input_shape))


def count_thop(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Figure of the thop package: macs and four operations per element through a batch norm."""
    calls = _run(net, input_shape)
    norm_elements = sum(call.out_shape.numel() for call in calls if _is_norm(call.layer))
    return sum(_macs(call) for call in calls) + 4 * norm_elements


def training_outputs(net: nn.Module, images: Tensor) -> Tensor:
    """What `net` gives of `images` [N, C, H, W] in training: outputs, or a detector's losses.

    A detector is a network whose forward takes targets, as torchvision's do: it gets a box an
    image.
    """
    if "targets" not in inspect.signature(net.forward).parameters:
        return net(images)
    height, width = images.shape[-2:]
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=images.device)
    label = torch.ones(1, dtype=torch.int64, device=images.device)
    losses = net(list(images), [{"boxes": box, "labels": label} for _ in images])
    return torch.stack(list(losses.values()))


def layer_table(net: nn.Module, input_shape: Sequence[int]) -> list[LayerRow]:
    """One row per call of each layer, in the order of the calls; sums give the network's cost."""
    names = {module: name for name, module in net.named_modules()}
    rows: list[LayerRow] = []
    seen: set[nn.Module] = set()
    for call in _run(net, input_shape):
        layer = call.layer
        own = [] if layer in seen else layer.parameters(recurse=False)
        seen.add(layer)
        params = sum(parameter.numel() for parameter in own)
        out_shape = tuple(call.out_shape[1:])
        rows.append(LayerRow(names[layer], type(layer).__name__, out_shape, params, _macs(call)))
    return rows


def _macs(call: _Call) -> int:
    layer = call.layer
    if isinstance(layer, _ConvTransposeNd):  # each input element meets a whole filter
        return call.in_elements * layer.weight[0].numel()
    if isinstance(layer, _ConvNd | nn.Linear):  # weight[0] is what makes one output element
        return call.out_shape.numel() * layer.weight[0].numel()
    return 0


def _is_norm(layer: nn.Module) -> bool:
    return isinstance(layer, _BatchNorm)


def _run(net: nn.Module, input_shape: Sequence[int]) -> list[_Call]:
    """The calls of all layers in one forward pass of zeros, batch 1, in eval mode.

    ValueError where the network does not take such an input.
    """
    calls: list[_Call] = []

    def record(layer: nn.Module, inputs: tuple, outputs: object) -> None:
        if isinstance(outputs, Tensor):
            in_elements = inputs[0].numel() if inputs and isinstance(inputs[0], Tensor) else 0
            calls.append(_Call(layer, in_elements, outputs.shape))

    parameter = next(net.parameters(), torch.empty(0))
    images = torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype)
    layers = [module for module in net.modules() if _is_layer(module)]
    handles = [layer.register_forward_hook(record) for layer in layers]
    if hasattr(net, "rpn"):  # torchvision's name in a detector of two stages
        handles.append(net.rpn.register_forward_hook(_all_proposals))
    try:
        with _eval_mode(net), torch.no_grad():
            net(images)
    except RuntimeError as error:
        size = "x".join(map(str, input_shape))
        raise ValueError(f"the network cannot take an input of {size}: {error}") from error
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _all_proposals(rpn: nn.Module, inputs: tuple, outputs: tuple) -> tuple[list[Tensor], dict]:
    """As many proposals as evaluation keeps at most, each the whole image.

    How many an untrained network makes of zeros, often one or none, says nothing of the box head's
    cost.
    """
    (proposals, losses), (height, width) = outputs, inputs[0].image_sizes[0]
    whole = proposals[0].new_tensor([0, 0, width, height])
    return [whole.expand(rpn.post_nms_top_n(), 4)], losses


def _is_layer(module: nn.Module) -> bool:
    """A module without children, or with parameters of its own."""
    has_children = next(module.children(), None) is not None
    return not has_children or next(module.parameters(recurse=False), None) is not None


@contextmanager
def _eval_mode(net: nn.Module) -> Iterator[None]:
    """Eval mode inside, each module's own mode after: a frozen batch norm stays frozen."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training
