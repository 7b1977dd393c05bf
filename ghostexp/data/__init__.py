"""Data sets as LightningDataModules, and the parts that they are made of."""

from ghostexp.data.augment import Augment
from ghostexp.data.boxes import DetectionSet, Record, rescale
from ghostexp.data.coco import CocoFiles
from ghostexp.data.detection import DetectionData
from ghostexp.data.detection_sets import (
    coco_detection,
    coco_json,
    shapes_detection,
    voc_detection,
)
from ghostexp.data.examples import DetectionLoader, Reading
from ghostexp.data.folder import load_image
from ghostexp.data.in_memory import BatchLoader, EpochOrder, ImageSet, InMemory
from ghostexp.data.transformed import FileTransforms, centre_crop, imagenet
from ghostexp.data.vision import VisionData, cifar10, cifar100, digits, image_folder
from ghostexp.data.voc import VocSplits

__all__ = [
    "Augment",
    "BatchLoader",
    "CocoFiles",
    "DetectionData",
    "DetectionLoader",
    "DetectionSet",
    "EpochOrder",
    "FileTransforms",
    "ImageSet",
    "InMemory",
    "Reading",
    "Record",
    "VisionData",
    "VocSplits",
    "centre_crop",
    "cifar10",
    "cifar100",
    "coco_detection",
    "coco_json",
    "digits",
    "image_folder",
    "imagenet",
    "load_image",
    "rescale",
    "shapes_detection",
    "voc_detection",
]
