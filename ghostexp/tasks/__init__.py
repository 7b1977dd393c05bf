"""Tasks: LightningModules that train a network they are given."""

from ghostexp.tasks.classification import ClassificationTask
from ghostexp.tasks.detection import DetectionTask

__all__ = ["ClassificationTask", "DetectionTask"]
