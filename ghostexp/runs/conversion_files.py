"""A measured conversion as plain data, and as a model config that `train.py` takes."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.files.atomic import write_text
from ghostexp.results.record import now
from ghostexp.results.wording import counted
from ghostexp.runs.measured_conversion import Choice, Conversion, Setting, converted

CONVERT = "ghostexp.models.convert_to_ghost"


def dense_model(cfg: DictConfig) -> dict[str, Any]:
    """The node of the dense network of a composed config, its interpolations unresolved."""
    model = OmegaConf.to_container(cfg.model, resolve=False)
    assert isinstance(model, dict)
    if model["_target_"] == CONVERT:
        return model["net"]
    return model | ({"ratio": 1} if "ratio" in model else {})


def converted_model(
    dense: dict[str, Any], ratios: dict[str, int], cheap_kernel_size: int, image_size: int
) -> dict[str, Any]:
    """The node of the converted network: a conversion for each ratio around the dense network."""
    node = dense
    for ratio in sorted(set(ratios.values())):
        node = {
            "_target_": CONVERT,
            "net": node,
            "ratio": ratio,
            "cheap_kernel_size": cheap_kernel_size,
            "only": [name for name, wanted in ratios.items() if wanted == ratio],
            "image_size": image_size,
        }
    return node


def write_model(node: dict[str, Any], headline: str, path: Path) -> None:
    """A file of the config group `model`; its first line is what --help shows of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, f"# {headline}\n{OmegaConf.to_yaml(OmegaConf.create(node))}")


def as_document(
    found: Conversion,
    net: nn.Module,
    input_shape: tuple[int, int, int],
    setting: Setting,
    *,
    network: str,
    circumstances: str,
    command: str,
    cheap_kernel_size: int,
) -> dict[str, Any]:
    """Everything that was measured, with the seconds of each round."""
    size = "x".join(map(str, input_shape))
    threads = counted(setting.threads, "thread")
    ghost = converted(net, found.ratios, cheap_kernel_size)
    return {
        "schema": 1,
        "measured": now(),
        "command": command,
        "circumstances": circumstances,
        "setting": f"{network}, {size}, {setting.form}, batch {setting.batch_size}, {threads}",
        "cheap_kernel_size": cheap_kernel_size,
        "network": {
            "dense": found.dense.seconds,
            "again": found.again.seconds,
            "converted": found.converted.seconds,
            "predicted": found.predicted,
            "tried": found.tried,
            "dense_macs": count_macs(net, input_shape),
            "converted_macs": count_macs(ghost, input_shape),
            "dense_params": count_params(net),
            "converted_params": count_params(ghost),
        },
        "layers": [_layer(choice, cheap_kernel_size) for choice in found.choices],
    }


def _layer(choice: Choice, cheap_kernel_size: int) -> dict[str, Any]:
    """What was measured for the layers of one kind, by ratio."""
    kind, timings = choice.kind, choice.timings
    return {
        "names": kind.names,
        "in_shape": list(kind.in_shape),
        "out_shape": list(kind.out_shape),
        "macs": {str(ratio): kind.macs(ratio, cheap_kernel_size) for ratio in timings},
        "ratio": choice.ratio,
        "note": choice.note,
        "seconds": {str(ratio): timing.seconds for ratio, timing in timings.items()},
    }
