"""Experiments with the GhostNet family: layers, networks, data, training, sweeps and results.

    import ghostexp
    run = ghostexp.train(["model=ghost_resnet56", "trainer.max_epochs=2"])

`ghostexp/api.py` says what can be called.
"""

import importlib
from typing import Any

__version__ = "0.1.0"
__all__ = [
    *("Run", "collect", "convert_to_ghost", "create_model", "from_pretrained", "list_models"),
    *("sweep", "train"),
]

_HOMES = {
    "Run": "ghostexp.runs.run",
    "collect": "ghostexp.results.collected",
    "convert_to_ghost": "ghostexp.models.convert",
    "from_pretrained": "ghostexp.runs.hub",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: torch takes seconds, which `ghostexp.__version__` does not need."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "ghostexp.api")), name)
