"""Data sets as LightningDataModules, and the parts that they are made of."""

from ghostexp.data.augment import Augment
from ghostexp.data.folder import load_image
from ghostexp.data.in_memory import BatchLoader, EpochOrder, ImageSet, InMemory
from ghostexp.data.transformed import FileTransforms, centre_crop, imagenet
from ghostexp.data.vision import VisionData, cifar10, cifar100, digits, image_folder

__all__ = [
    "Augment",
    "BatchLoader",
    "EpochOrder",
    "FileTransforms",
    "ImageSet",
    "InMemory",
    "VisionData",
    "centre_crop",
    "cifar10",
    "cifar100",
    "digits",
    "image_folder",
    "imagenet",
    "load_image",
]
