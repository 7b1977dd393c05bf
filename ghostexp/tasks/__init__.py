"""Tasks: LightningModules that train a network they are given."""

from ghostexp.tasks.classification import ClassificationTask

__all__ = ["ClassificationTask"]
