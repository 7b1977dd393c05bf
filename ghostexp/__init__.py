"""Experiments with the GhostNet family: layers, networks, data, training, sweeps and results."""

__version__ = "0.1.0"
