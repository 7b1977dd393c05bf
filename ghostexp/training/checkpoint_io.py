"""Checkpoint files that are whole or not there, in a folder that may move."""

from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from ghostexp.files.tensors import write_tensors


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a full disk leaves the old one.

    Reads tensors onto the CPU, so that a run of a GPU goes on where there is none. Who takes them
    copies them to its device.

    Reads a checkpoint as one of the folder in which it lies now. Lightning's ModelCheckpoint saves
    whole paths, and forgets the best epoch where a path belongs to another run.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str, storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(target, checkpoint)

    def load_checkpoint(
        self, path: str, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        checkpoint = super().load_checkpoint(path, map_location or "cpu", weights_only)
        for state in checkpoint.get("callbacks", {}).values():
            if isinstance(state, dict) and state.get("dirpath"):
                state.update(moved(state, state["dirpath"], str(Path(path).parent)))
        return checkpoint


def moved(value: Any, old: str, new: str) -> Any:
    """`value` with the folder `old` replaced by `new` in every path in it."""
    if isinstance(value, dict):
        return {moved(key, old, new): moved(each, old, new) for key, each in value.items()}
    if isinstance(value, str) and (value == old or value.startswith(f"{old}/")):
        return new + value[len(old) :]
    return value
