"""Layers know tensors and no network."""

from ghostexp.layers.ghost import GhostModule

__all__ = ["GhostModule"]
