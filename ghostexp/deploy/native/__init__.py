"""Compiled inference of CIFAR ResNets and VGGs, dense and Ghost, on the CPU."""

from ghostexp.deploy.native.net import NativeNet, native

__all__ = ["NativeNet", "native"]
