"""Data sets as LightningDataModules, and the parts that they are made of."""

from ghostexp.data.audio import audio_folder, esc50, fsdd, speech_commands, tones
from ghostexp.data.audio_augment import AudioAugment, SpecAugment
from ghostexp.data.augment import Augment
from ghostexp.data.boxes import DetectionSet, Record, rescale
from ghostexp.data.coco_layout import CocoFiles
from ghostexp.data.csv_labels import CsvLabels
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.detection import BoxSource, DetectionData
from ghostexp.data.detection_sets import (
    coco_detection,
    coco_json,
    shapes_detection,
    voc_detection,
)
from ghostexp.data.examples import DetectionLoader, Reading
from ghostexp.data.folder import load_image
from ghostexp.data.hf_images import hf
from ghostexp.data.hf_tables import HfColumns, HfSplits
from ghostexp.data.in_memory import BatchLoader, EpochOrder, InMemory, LabelledSet
from ghostexp.data.log_mel import LogMel
from ghostexp.data.read_ahead import Loading
from ghostexp.data.shards import shards
from ghostexp.data.transformed import FileTransforms, centre_crop, imagenet, random_resized_crop
from ghostexp.data.vision import cifar10, cifar100, digits, image_folder
from ghostexp.data.voc_layout import VocSplits

__all__ = [
    "AudioAugment",
    "Augment",
    "BatchLoader",
    "BoxSource",
    "ClassificationData",
    "CocoFiles",
    "CsvLabels",
    "DetectionData",
    "DetectionLoader",
    "DetectionSet",
    "EpochOrder",
    "FileTransforms",
    "HfColumns",
    "HfSplits",
    "InMemory",
    "LabelledSet",
    "Loading",
    "LogMel",
    "Reading",
    "Record",
    "Source",
    "SpecAugment",
    "VocSplits",
    "audio_folder",
    "centre_crop",
    "cifar10",
    "cifar100",
    "coco_detection",
    "coco_json",
    "digits",
    "esc50",
    "fsdd",
    "hf",
    "image_folder",
    "imagenet",
    "load_image",
    "random_resized_crop",
    "rescale",
    "shapes_detection",
    "shards",
    "speech_commands",
    "tones",
    "voc_detection",
]
