"""What of a config decides a run's result, and how two configs differ.

Two runs are the same run when their configs agree in `result_part`. What a person sees (loggers,
progress bars), where things lie (folders) and how many processes read are no part of the result.
"""

import hashlib
import json
from typing import Any

Config = dict[str, Any]

NOT_THE_RESULT = {  # keys of the top level
    *("allow_targets", "logger", "name", "notes", "on_error", "rerun", "resume", "run_dir"),
    *("tags", "title"),
}
PLACES_AND_PACE = {  # group -> its keys that change where and how fast, never what
    "dataset": {"loading", "num_workers", "root"},
    "trainer": {
        *("default_root_dir", "enable_checkpointing", "enable_model_summary"),
        *("enable_progress_bar", "log_every_n_steps", "profiler"),
    },
}
PRESENTATION = {  # callbacks that show or write, by the last part of their `_target_`
    *("BoxPictures", "EpochLog", "FeaturePictures", "LearningRate", "LearningRateMonitor"),
    *("NetworkSummary", "PartialCheckpoint", "Pictures", "Progress", "RichProgressBar"),
    "SlowSteps",
    *("Throughput", "TQDMProgressBar"),
}
SAME_NUMBERS = {  # changes of a network, by the last part of their `_target_`
    *("CudaGraph", "FastLayers", "NativeStep"),
}


def result_part(config: Config) -> Config:
    """`config`, resolved and plain, without what changes nothing about the result."""
    part = {key: value for key, value in config.items() if key not in NOT_THE_RESULT}
    for group, keys in PLACES_AND_PACE.items():
        if isinstance(part.get(group), dict):
            part[group] = _without(part[group], keys)
    callbacks = part.get("callbacks") or {}
    part["callbacks"] = {
        name: node for name, node in callbacks.items() if not _is_presentation(node)
    }
    return part


def kernels(config: Config) -> Config:
    """Callbacks whose kernels compute what torch's operators would compute, up to rounding."""
    callbacks = config.get("callbacks") or {}
    return {name: node for name, node in callbacks.items() if _is_kernels(node)}


def _is_kernels(node: Any) -> bool:
    """Whether a callback's node lets other kernels compute what torch's operators would compute."""
    return isinstance(node, dict) and _class_name(node.get("change")) in SAME_NUMBERS


def digest(config: Config) -> str:
    """SHA-256 of a plain config."""
    return hashlib.sha256(json.dumps(config, sort_keys=True, default=str).encode()).hexdigest()


def differences(old: Config, new: Config) -> list[str]:
    """`key: old -> new` for every dotted key in which two configs differ."""
    before, after = flatten(old), flatten(new)
    return [
        f"{key}: {before.get(key)} -> {after.get(key)}"
        for key in sorted(before.keys() | after.keys())
        if before.get(key) != after.get(key)
    ]


def flatten(config: Any, prefix: str = "") -> Config:
    """Dotted keys of a nested config; lists are values."""
    if not isinstance(config, dict):
        return {prefix: config}
    flat: Config = {}
    for key, value in config.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _without(node: Config, keys: set[str]) -> Config:
    """`node` without `keys`, at any depth of it."""
    return {
        key: _without(value, keys) if isinstance(value, dict) else value
        for key, value in node.items()
        if key not in keys
    }


def _is_presentation(node: Any) -> bool:
    return node is None or _class_name(node) in PRESENTATION


def _class_name(node: Any) -> str:
    """Of what a node builds; empty for a node that builds nothing."""
    return str(node.get("_target_")).split(".")[-1] if isinstance(node, dict) else ""
