"""Data sets as LightningDataModules, and the parts that they are made of."""

from ghostexp.data.audio import audio_folder, esc50, fsdd, speech_commands, tones
from ghostexp.data.audio_augment import AudioAugment, SpecAugment
from ghostexp.data.augment import Augment
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.folder import load_image
from ghostexp.data.in_memory import BatchLoader, EpochOrder, InMemory, LabelledSet
from ghostexp.data.log_mel import LogMel
from ghostexp.data.transformed import FileTransforms, centre_crop, imagenet
from ghostexp.data.vision import cifar10, cifar100, digits, image_folder

__all__ = [
    "AudioAugment",
    "Augment",
    "BatchLoader",
    "ClassificationData",
    "EpochOrder",
    "FileTransforms",
    "InMemory",
    "LabelledSet",
    "LogMel",
    "Source",
    "SpecAugment",
    "audio_folder",
    "centre_crop",
    "cifar10",
    "cifar100",
    "digits",
    "esc50",
    "fsdd",
    "image_folder",
    "imagenet",
    "load_image",
    "speech_commands",
    "tones",
]
