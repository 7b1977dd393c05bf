"""The calls of a forward pass, in their order."""

from functools import partial

import torch

from ghostexp.native.plan import Conv, MaxPool, MeanPool
from ghostexp.native.program import sizes
from ghostexp.native.state import Block, State, cheap_weight

Call = partial[None]


def forward_calls(state: State) -> tuple[list[Call], dict[Conv, Block]]:
    """Calls from grouped images to the features, and each convolution's weights as packed there."""
    library, calls, packed = state.program.library, [], {}
    images = state.plan.images
    state.outputs[images] = state.take_maps(images)
    for step in state.plan.steps:
        source, maps = state.source(step.inputs), step.inputs.maps
        if isinstance(step, MeanPool):
            ends = source, sizes(maps), state.features.data_ptr()
            calls.append(partial(library.mean_pool, *ends, *state.work))
            continue
        state.outputs[step.outputs] = outputs = state.take_maps(step.outputs)
        if isinstance(step, MaxPool):
            ends = source, sizes(maps), step.window, outputs.address
            calls.append(partial(library.max_pool, *ends, *state.work))
        else:
            packed[step] = state.take(2 * state.program.shapes[step].weights)
            calls += _convolution(state, step, source, packed[step])
    return calls, packed


def _convolution(state: State, conv: Conv, source: object, packed: Block) -> list[Call]:
    program, maps = state.program, conv.outputs
    ahead, back = packed.tensor.chunk(2)
    moments = state.zeros(state.groups, maps.channels, 2, dtype=torch.float64).data_ptr()
    weight = conv.primary.weight
    outputs = state.outputs[maps].address
    return [
        partial(
            program.function("pack", conv),
            *(weight.data_ptr(), *weight.stride()),
            *(ahead.data_ptr(), back.data_ptr(), state.threads),
        ),
        partial(
            program.function("forward", conv),
            *(source, outputs, ahead.data_ptr(), cheap_weight(conv), moments, *state.work),
        ),
        partial(
            program.library.join_moments,
            *(moments, state.pointer(state.norms[maps])),
            *(maps.channels, maps.pixels, state.images),
        ),
    ]
