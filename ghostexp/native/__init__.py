"""Training steps of whole networks in C++, a group of images in each vector, for the CPU."""

from ghostexp.native.step import NativeStep

__all__ = ["NativeStep"]
