"""A trial run of a network: it shows what becomes of the maps of each convolution.

The names of modules and the order of their registration say little about what a forward does, and
torch.fx can follow only some forwards. Autograd records every forward: the graph that it keeps for
the backward pass holds each operation and its inputs. So a copy of the network runs once on images
without values (on the device "meta", where an operation costs nothing), and `data_flow` reads the
graph. A network whose forward depends on values, such as a detector, runs on noise instead.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from ghostexp.layers.copied import copied, copied_without_values
from ghostexp.layers.ghost import GhostModule
from ghostexp.models.data_flow import Edge, Flow, Recorded, flows

SIDES = (224, 32, 299, 64, 128, 256, 384, 512)  # of trial images, until a network takes one
SIDES_WITH_VALUES = 2  # how many of them are tried where each costs the time of a forward pass
DETECTORS_SIDE = 256  # pixels; a detector would enlarge its images to 800


@dataclass(frozen=True)
class Trial:
    """What a trial run saw: a `Flow` for each convolution that it called.

    `described` says on which images the network ran. If it could not be run, `flows` is empty and
    `failure` is the error of the last attempt.
    """

    flows: dict[nn.Module, Flow]
    described: str = ""
    failure: str | None = None


def try_out(net: nn.Module, image_size: int | None = None) -> Trial:
    """Run a copy of `net` on square images of `image_size`, or of the first size that it takes."""
    failure = "it has no Conv2d"
    for channels, side, with_values in _attempts(net, image_size):
        try:
            found = _run(net, channels, side, with_values)
        except Exception as error:  # whatever a forward does with images that it was not made for
            failure = f"{type(error).__name__}: {error}".partition("\n")[0]
        else:
            return Trial(found, f"{channels}x{side}x{side}")
    return Trial({}, failure=failure)


def _attempts(net: nn.Module, image_size: int | None) -> Iterator[tuple[int, int, bool]]:
    """Channels, side and whether the images have values, the cheapest attempts first."""
    first = next((m for m in net.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None:
        return
    sides = list(SIDES)
    settings = getattr(net, "default_cfg", None)  # of timm's networks
    if isinstance(settings, dict) and "input_size" in settings:
        sides.insert(0, settings["input_size"][-1])
    if image_size is not None:
        sides = [image_size]
    channels = sorted({first.in_channels, 3}, key=lambda count: count != first.in_channels)
    if not _is_detector(net):
        yield from ((count, side, False) for side in sides for count in channels)
    if next(net.parameters()).device.type != "meta":
        few = sides[:SIDES_WITH_VALUES]
        yield from ((count, side, True) for side in few for count in channels)


def _is_detector(net: nn.Module) -> bool:
    return any(isinstance(module, GeneralizedRCNNTransform) for module in net.modules())


def _run(net: nn.Module, channels: int, side: int, with_values: bool) -> dict[nn.Module, Flow]:
    copy = copied(net).eval() if with_values else copied_without_values(net).train()
    of_copy = dict(zip(copy.modules(), net.modules(), strict=True))
    device = next(copy.parameters()).device
    with _recording(copy, with_values) as recorded, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.device(device), torch.random.fork_rng(devices=[]), torch.enable_grad():
            dtype = next(copy.parameters()).dtype
            # a batch norm in training mode needs more than one value for each channel
            shape = (1 if with_values else 2, channels, side, side)
            images = torch.rand(shape, dtype=dtype, requires_grad=True)
            outputs = copy(images.clone())  # of a leaf, autograd refuses operations in place
    recorded.outputs += _edges(outputs)
    return {
        of_copy[conv]: replace(flow, norm=flow.norm and of_copy[flow.norm])
        for conv, flow in flows(recorded, copy).items()
    }


@contextmanager
def _recording(copy: nn.Module, with_values: bool) -> Iterator[Recorded]:
    """Record the calls of the modules of `copy`, which is made for the trial and may be changed."""
    recorded = Recorded()
    _add_hooks(copy, recorded)
    for module in list(copy.modules()):
        if isinstance(module, GeneralizedRCNNTransform):
            module.min_size, module.max_size = (DETECTORS_SIDE,), DETECTORS_SIDE
        if isinstance(module, RoIHeads):
            module.detections_per_img = 1  # masks and keypoints of more take seconds
        if type(module) is nn.Conv2d:
            module.__class__ = _Watched
        elif type(module) is nn.BatchNorm2d and not with_values:
            module.__class__ = _NormForShapes
    yield recorded
    for module in copy.modules():
        if isinstance(module, _Watched):
            read = vars(module).get(_READ, [])
            module.__class__ = nn.Conv2d
            if read:
                recorded.read[module] = read[0]


def _add_hooks(copy: nn.Module, recorded: Recorded) -> None:
    """Let the modules of `copy` tell `recorded` of their calls."""

    def convolution(module: nn.Module, _: object, output: Tensor) -> None:
        recorded.calls.append((module, _edge(output), tuple(output.shape[-2:])))

    def norm(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        recorded.norms.append((module, _edge(inputs[0])))

    def any_module(_: nn.Module, __: object, output: object) -> None:
        recorded.roots.extend(_edges(output))

    for module in list(copy.modules()):
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(convolution)
        if isinstance(module, _BatchNorm):
            module.register_forward_pre_hook(norm)
        module.register_forward_hook(any_module)


def _edges(output: object) -> Iterator[Edge]:
    """The places in autograd's graph that made the tensors anywhere in a module's output."""
    if isinstance(output, Tensor):
        if output.grad_fn is not None:
            yield _edge(output)
    elif isinstance(output, dict):
        yield from (edge for value in output.values() for edge in _edges(value))
    elif isinstance(output, list | tuple):
        yield from (edge for value in output for edge in _edges(value))


def _edge(tensor: Tensor) -> Edge:
    return tensor.grad_fn, tensor.output_nr


class _NormForShapes(nn.BatchNorm2d):
    """A norm for maps without values, for which torch's own takes a hundred times as long."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * 1


_READ = "_read_from_outside"
_OF_A_GHOST_MODULE = {*dir(nn.Module()), *vars(GhostModule(1, 2)), "__class__", _READ}


class _Watched(nn.Conv2d):
    """A convolution that notes what other modules read of it and a Ghost module would not have."""

    def __getattribute__(self, name: str) -> object:
        if name not in _OF_A_GHOST_MODULE:
            self.__dict__.setdefault(_READ, []).append(name)
        return super().__getattribute__(name)

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.__class__ = nn.Conv2d  # what its own forward reads is no matter
        try:
            return self(*args, **kwargs)
        finally:
            self.__class__ = _Watched
