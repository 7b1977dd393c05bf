"""A network in the folder layout of the Hugging Face hub: config.json and model.safetensors.

`hf upload USER/NAME FOLDER`, a command of the library huggingface_hub, publishes such a folder.
"""

import json
import re
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf, open_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

import ghostexp
from ghostexp.config.audit import audit_saved
from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError, how_to_install
from ghostexp.download import offline
from ghostexp.files.atomic import write_text
from ghostexp.files.folders import is_free
from ghostexp.runs.load import data_record, load_network

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")  # USER/NAME


def save_pretrained(run: Path, folder: Path) -> None:
    """Write the network of a run into a new or empty `folder`, as the hub wants it."""
    if not is_free(folder):
        raise UserError(f"{folder} exists already: name a new folder")
    record = data_record(run)
    cfg, net = load_network(run)
    content = {
        "library_name": "ghostexp",
        "library_version": ghostexp.__version__,
        "model": OmegaConf.to_container(cfg.model, resolve=True),
        "input_shape": record["network"]["input_shape"],
        "class_names": record["dataset"]["class_names"],
        "dataset": OmegaConf.to_container(cfg.dataset, resolve=True),
        "metrics": record["metrics"],
    }
    content["dataset"].pop("root", None)  # a place on this machine
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.contiguous() for name, value in net.state_dict().items()}
    save_file(state, folder / WEIGHTS, metadata={"format": "pt"})
    write_text(folder / CONFIG, json.dumps(content, indent=2))
    write_text(folder / CARD, _card(content, folder.resolve().name))


def from_pretrained(source: str | Path) -> nn.Module:
    """The network of a folder of `save_pretrained`, or of USER/NAME on the hub, in evaluation mode.

    The folder is data: its config may name only networks that ship with ghostexp, torchvision and
    timm, and nothing in it is executed.
    """
    folder = _folder(source)
    try:
        content = json.loads((folder / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / CONFIG} cannot be read: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("model"), dict):
        raise UserError(f"{folder / CONFIG} was not written by ghostexp: it names no model")
    cfg = compose_config(["dataset=imagenet"])
    with open_dict(cfg):
        cfg.model = content["model"]
    audit_saved(cfg, folder, folder / CONFIG)
    with offline():
        net = build_network(cfg)
    try:
        net.load_state_dict(load_file(folder / WEIGHTS))
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder / WEIGHTS} does not fit its config: {reason}") from error
    return net.eval()


def _folder(source: str | Path) -> Path:
    if Path(source).is_dir():
        return Path(source)
    if not REPOSITORY.fullmatch(str(source)):
        raise UserError(f"{source} is neither a folder nor the USER/NAME of a network on the hub")
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise UserError(f"{source}: {how_to_install(error)}") from error
    try:
        return Path(snapshot_download(str(source), allow_patterns=[CONFIG, WEIGHTS]))
    except Exception as error:  # of the network, of the hub, of the file system
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{source} cannot be fetched from the hub: {reason}") from error


def _card(content: dict[str, Any], name: str) -> str:
    """README.md of the folder: what the hub shows."""
    network = content["model"]["_target_"].rpartition(".")[2]
    metrics = "\n".join(
        f"| {key} | {value:.4f} |"
        for key, value in sorted(content["metrics"].items())
        if key.startswith("test/")
    )
    return f"""---
library_name: ghostexp
tags: [image-classification, ghostnet]
---
# {name}

`{network}` for {len(content["class_names"])} classes, input {content["input_shape"]}.

| metric | value |
|---|---|
{metrics}

```python
import ghostexp

net = ghostexp.from_pretrained("{name}")
```
"""
