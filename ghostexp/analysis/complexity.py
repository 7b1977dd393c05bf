"""Cost of a network: parameters, multiply-adds, and the figure that the thop package prints.

`macs` are the multiply-adds of all products with weights and of attention, without bias and batch
norm: half of what `torch.utils.flop_counter` counts, and what the GhostNet papers call FLOPs. That
counter sees every operation of a forward pass, also those that no layer of torch.nn computes. It
has no formula for the recurrent layers of oneDNN and cuDNN, which therefore count 0.
"""

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.utils.flop_counter import FlopCounterMode

from ghostexp.analysis.evaluating import evaluating

THOP_PER_NORM_ELEMENT = 4


@dataclass(frozen=True)
class LayerRow:
    """One call of one module: its output without the batch axis, its own parameters and costs.

    `macs` are multiply-adds of the module's forward, without the modules that it calls. `products`
    is the part of them that no convolution and no linear layer computes, such as attention; `thop`
    is the module's part of the thop figure. A module that is called again has its parameters in the
    first row only.
    """

    name: str
    type: str
    out_shape: tuple[int, ...]
    params: int
    macs: int
    products: int
    thop: int


@dataclass(frozen=True)
class _Call:
    module: nn.Module
    out_shape: torch.Size
    macs: int


def count_params(net: nn.Module) -> int:
    """Number of parameters, a shared one counted once."""
    return sum(parameter.numel() for parameter in net.parameters())


def count_trainable_params(net: nn.Module) -> int:
    """Number of parameters that an optimizer may change."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)


def count_macs(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Multiply-adds for one input of `input_shape`, batch axis excluded: (3, 32, 32).

    A detector of two stages is counted with as many proposals as it keeps at most in evaluation.
    """
    return sum(row.macs for row in layer_table(net, input_shape))


def count_thop(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Figure of the thop package: macs of layers, and 4 per element that a batch norm makes.

    thop knows convolutions and linear layers, and sees no other product.
    """
    return sum(row.thop for row in layer_table(net, input_shape))


def training_outputs(net: nn.Module, images: Tensor) -> Tensor:
    """What `net` gives for `images` [N, C, H, W] in training: outputs, or a detector's losses.

    A detector is a network whose forward takes targets, as torchvision's detectors do. Each image
    gets one made-up box.
    """
    if "targets" not in inspect.signature(net.forward).parameters:
        return net(images)
    height, width = images.shape[-2:]
    box = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=images.device)
    label = torch.ones(1, dtype=torch.int64, device=images.device)
    losses = net(list(images), [{"boxes": box, "labels": label} for _ in images])
    return torch.stack(list(losses.values()))


def layer_table(net: nn.Module, input_shape: Sequence[int]) -> list[LayerRow]:
    """One row for each call of a module that costs something or holds no others, as they end.

    The sums of the rows are the network's cost. A parameter of a module that is never called, as in
    attention, counts for the module around it. ValueError where `net` does not take such an input.
    """
    names = {module: name for name, module in net.named_modules()}
    calls = _run(net, input_shape)
    params = _params_by_module(net, {call.module for call in calls})
    rows: list[LayerRow] = []
    for call in calls:
        module = call.module
        own = params.get(module)
        is_leaf = next(module.children(), None) is None
        if not (is_leaf or own is not None or call.macs):
            continue
        by_layer = call.macs if isinstance(module, _ConvNd | nn.Linear) else 0
        normalised = call.out_shape.numel() if isinstance(module, _BatchNorm) else 0
        rows.append(
            LayerRow(
                name=names[module],
                type=type(module).__name__,
                out_shape=tuple(call.out_shape[1:]),
                params=own or 0,
                macs=call.macs,
                products=call.macs - by_layer,
                thop=by_layer + THOP_PER_NORM_ELEMENT * normalised,
            )
        )
        if own is not None:
            params[module] = 0
    return rows


def _params_by_module(net: nn.Module, called: set[nn.Module]) -> dict[nn.Module, int]:
    """Number of parameters of each called module that has any; each parameter counts once."""
    found: dict[nn.Module, int] = {}
    seen: set[int] = set()

    def visit(module: nn.Module, owner: nn.Module) -> None:
        owner = module if module in called else owner
        for parameter in module.parameters(recurse=False):
            if id(parameter) not in seen:
                seen.add(id(parameter))
                found[owner] = found.get(owner, 0) + parameter.numel()
        for child in module.children():
            visit(child, owner)

    visit(net, net)
    return found


def _run(net: nn.Module, input_shape: Sequence[int]) -> list[_Call]:
    """The calls of all modules in one forward pass of zeros, batch 1, in the order of their ends.

    ValueError where the network does not take such an input.
    """
    parameter = next(net.parameters(), torch.empty(0))
    images = torch.zeros(1, *input_shape, device=parameter.device, dtype=parameter.dtype)
    with FlopCounterMode(display=False) as counter, _watching(net, counter) as calls:
        try:
            with evaluating(net), _operation_by_operation():
                net(images)
        except RuntimeError as error:
            size = "x".join(map(str, input_shape))
            raise ValueError(f"the network cannot take an input of {size}: {error}") from error
    return calls


@contextmanager
def _watching(net: nn.Module, counter: FlopCounterMode) -> Iterator[list[_Call]]:
    """Collect the calls of the modules of `net`, with what `counter` counts in each."""
    calls: list[_Call] = []
    open_calls = [[0, 0]]  # FLOPs before the call, and FLOPs of the calls inside of it

    def begin(module: nn.Module, inputs: tuple) -> None:
        open_calls.append([counter.get_total_flops(), 0])

    def end(module: nn.Module, inputs: tuple, outputs: object) -> None:
        before, inside = open_calls.pop()
        flops = counter.get_total_flops() - before
        open_calls[-1][1] += flops
        calls.append(_Call(module, _shape(outputs), (flops - inside) // 2))

    handles = []
    for module in net.modules():
        handles += [module.register_forward_pre_hook(begin), module.register_forward_hook(end)]
    if hasattr(net, "rpn"):  # torchvision's name in a detector of two stages
        handles.append(net.rpn.register_forward_hook(_all_proposals))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _operation_by_operation() -> Iterator[None]:
    """No compiled code, and no single operation for a whole transformer layer.

    The counter would see nothing inside of either.
    """
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _shape(outputs: object) -> torch.Size:
    """Shape of a module's output, or of the first tensor in it."""
    while isinstance(outputs, list | tuple) and outputs:
        outputs = outputs[0]
    return outputs.shape if isinstance(outputs, Tensor) else torch.Size()


def _all_proposals(rpn: nn.Module, inputs: tuple, outputs: tuple) -> tuple[list[Tensor], dict]:
    """As many proposals as evaluation keeps at most, each the whole image.

    An untrained network makes few proposals from zeros, often one or none. Their number says
    nothing about the cost of the box head.
    """
    (proposals, losses), (height, width) = outputs, inputs[0].image_sizes[0]
    whole = proposals[0].new_tensor([0, 0, width, height])
    return [whole.expand(rpn.post_nms_top_n(), 4)], losses
