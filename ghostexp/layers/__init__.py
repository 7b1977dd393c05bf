"""Layers. They know tensors, and nothing about the networks that they stand in."""

from ghostexp.layers.ghost import GhostModule

__all__ = ["GhostModule"]
