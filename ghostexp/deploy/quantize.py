"""Static int8 after training: ONNX's QDQ operators, one scale for each channel of a weight.

Made by ONNX Runtime's quantiser rather than torchao's (PT2E), because its file runs in ONNX Runtime
and in OpenVINO, while a PT2E program needs torch.compile and its compiler where it runs.
What a tool would ask the user for is measured instead, on images that are neither calibrated with
nor trained on where there are such:

    method   min-max, percentile or entropy, by the difference of the logits
    layers   if more than MAX_DISAGREEMENT of the predicted classes change, each layer is quantised
             alone, on RANKED images, and those that do most harm stay float32: the 1, 2, 4, ...
             worst, until it holds

The share of changed predictions bounds what accuracy can drop, and needs no labels.

Products of 8-bit maps (0 to 255) and 8-bit weights (-127 to 127) are added in pairs. Without the
instructions VNNI an x86 CPU keeps such a sum in 16 bits, and a sum of two large products is cut
off. Weights of 7 bits (-64 to 64) are right on every CPU: 2 * 255 * 64 fits. So the instructions
of the CPU that a file is for are chosen: "any" takes 7 bits, "vnni" takes 8.
"""

import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ghostexp.deploy.engines import onnx_runtime
from ghostexp.deploy.quantizer import METHODS, Quantizer, batches

MAX_DISAGREEMENT = 0.005  # half a point
RANKED = 64  # images that each layer alone is measured on


@dataclass(frozen=True)
class Trial:
    """One way to quantise, measured.

    `error` is the difference of the logits over their size, both as norms; `disagreement` is the
    share of the images whose predicted class is another.
    """

    method: str
    float_layers: tuple[str, ...]
    error: float
    disagreement: float


@dataclass(frozen=True)
class Quantized:
    """An int8 ONNX model, how it was made, all that was tried, and how many layers it has."""

    model: bytes
    chosen: Trial
    trials: list[Trial]
    layers: int


def quantize(
    model: bytes,
    calibration: Tensor,
    held_out: Tensor,
    layers: Sequence[str],
    instructions: str = "any",
) -> Quantized:
    """Quantise a float32 ONNX model from images [N, ...], and measure on other ones, `held_out`.

    `layers` are the modules, by name, that are left in float as a whole, such as Ghost modules; a
    convolution or linear layer outside of them is one by itself. `instructions` "vnni" makes a
    model for CPUs that have VNNI, "any" for all. ValueError where this CPU cannot measure such a
    model, or where no images are given.
    """
    if instructions == "vnni" and not has_exact_int8():
        raise ValueError(
            "this CPU has no VNNI, so that an int8 model for VNNI cannot be measured here: use"
            " instructions=any, whose files run everywhere"
        )
    if not (len(calibration) and len(held_out)):
        raise ValueError("int8 needs at least one image to calibrate and one to measure with")
    quantizer = Quantizer(model, layers, reduce_range=instructions == "any")
    judge = _Judge(quantizer, held_out)
    for method in METHODS:
        quantizer.calibrate(method, calibration)
    trials = [judge.measure(method, ()) for method in METHODS]
    best = min(trials, key=lambda trial: trial.error)
    if best.disagreement > MAX_DISAGREEMENT:
        trials += judge.spare_worst(best.method)
        tried = [trial for trial in trials if trial.method == best.method]
        best = min(tried, key=lambda t: (max(t.disagreement, MAX_DISAGREEMENT), t.error))
    int8 = quantizer.build(best.method, best.float_layers)
    return Quantized(int8, best, trials, len(quantizer.groups))


def quantize_plainly(model: bytes, calibration: Tensor) -> bytes:
    """Every layer in int8, by min-max and unmeasured: for timing, where no trained weights are."""
    quantizer = Quantizer(model, (), reduce_range=not has_exact_int8())
    quantizer.calibrate("min-max", calibration)
    return quantizer.build("min-max", ())


def has_exact_int8() -> bool:
    """Whether this CPU adds products of 8 bits exactly: x86 with VNNI, or another kind of CPU."""
    return platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_vnni_supported()


class _Judge:
    """Quantised models beside their float32 one, on the same images."""

    def __init__(self, quantizer: Quantizer, images: Tensor) -> None:
        self.quantizer = quantizer
        self.images = images
        self.logits = _logits(quantizer.float_model, images)

    def measure(
        self, method: str, float_layers: tuple[str, ...], count: int | None = None
    ) -> Trial:
        """On the first `count` images, or all of them."""
        expected = self.logits[:count]
        logits = _logits(self.quantizer.build(method, float_layers), self.images[:count])
        error = float((logits - expected).norm() / expected.norm())
        other = logits.argmax(dim=1) != expected.argmax(dim=1)
        return Trial(method, float_layers, error, float(other.float().mean()))

    def spare_worst(self, method: str) -> list[Trial]:
        """Trials with the 1, 2, 4, ... worst layers in float32, until the classes hold."""
        names = set(self.quantizer.groups)
        alone = {
            name: self.measure(method, tuple(names - {name}), RANKED).error
            for name in self.quantizer.groups
        }
        worst_first = sorted(alone, key=alone.__getitem__, reverse=True)
        trials: list[Trial] = []
        count = 1
        while count < len(names) and not (trials and trials[-1].disagreement <= MAX_DISAGREEMENT):
            trials.append(self.measure(method, tuple(worst_first[:count])))
            count *= 2
        return trials


def _logits(model: bytes, images: Tensor) -> Tensor:
    run = onnx_runtime(model)
    return torch.cat([run(batch) for batch in batches(model, images)])
