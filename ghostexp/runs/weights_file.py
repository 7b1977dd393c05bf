"""The weights of a run as one small file, which others load with `model.weights=FILE`."""

import json
import math
from pathlib import Path

import torch
from omegaconf import OmegaConf
from safetensors.torch import save
from torch import Tensor

from ghostexp.config.explain import UserError
from ghostexp.files.atomic import replacing
from ghostexp.models.weight_files import SAFETENSORS
from ghostexp.runs.load import load_network, read_run_record

FORMAT = {"format": "pt"}  # without it, other libraries refuse the file


def write_weights(run: Path, path: Path, *, half: bool = False) -> bytes:
    """Write the network of a run to a new `path`, and return the bytes.

    The weights are those that the reported test accuracy belongs to. `half` keeps tensors of two
    and more dimensions, which are nearly all of the bytes, in float16. Norms and biases stay in
    float32, because they are added to large sums. The file carries the config of the network, the
    test metrics, and the digest and the revision of the run. `UserError` for a `path` that exists
    or has another suffix, and for weights that float16 cannot hold.
    """
    if path.suffix != SAFETENSORS:
        raise UserError(f"a file of weights ends in {SAFETENSORS}, not as {path}")
    if path.exists():
        raise UserError(f"{path} exists already: name a new file")
    cfg, net = load_network(run)
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    if half:
        state = {name: _halved(name, value) for name, value in state.items()}
    record = read_run_record(run)
    facts = {
        "model": OmegaConf.to_container(cfg.model, resolve=True),
        "metrics": record.get("metrics", {}),
        "digest": record.get("digest"),
        "revision": record.get("git", {}).get("revision"),
    }
    content = save(state, FORMAT | {name: json.dumps(value) for name, value in facts.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as file:
        file.write(content)
    return content


def _halved(name: str, value: Tensor) -> Tensor:
    if value.dim() < 2 or not value.is_floating_point():
        return value
    halved = value.half()
    if not torch.isfinite(halved).all():
        largest = float(value.abs().max())
        limit = math.trunc(torch.finfo(torch.float16).max)
        raise UserError(
            f"{name} reaches {largest:.3g}, and float16 ends at {limit}: leave --half out"
        )
    return halved
