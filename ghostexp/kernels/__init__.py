"""Our C++: its sources, how they are compiled and bound, and where they are worth using."""

from pathlib import Path

BATCH_NORM, GHOST_MODULE, INFERENCE, TRAINING = (
    Path(__file__).with_name(name)
    for name in ("batch_norm.cpp", "ghost_module.cpp", "inference.cpp", "training.cpp")
)
