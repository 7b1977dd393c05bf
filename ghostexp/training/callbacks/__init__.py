"""What Lightning's callbacks lack, one concept per file."""

from ghostexp.training.callbacks.change_network import ChangeNetwork
from ghostexp.training.callbacks.checks import Checks
from ghostexp.training.callbacks.epoch_log import EpochLog
from ghostexp.training.callbacks.learning_rate import LearningRate
from ghostexp.training.callbacks.margin_warmup import MarginWarmup
from ghostexp.training.callbacks.pictures import Pictures
from ghostexp.training.callbacks.progress import Progress
from ghostexp.training.callbacks.save_interrupted import SaveInterrupted
from ghostexp.training.callbacks.seed_epochs import SeedEpochs
from ghostexp.training.callbacks.slow_steps import SlowSteps
from ghostexp.training.callbacks.throughput import Throughput

__all__ = [
    "ChangeNetwork",
    "Checks",
    "EpochLog",
    "LearningRate",
    "MarginWarmup",
    "Pictures",
    "Progress",
    "SaveInterrupted",
    "SeedEpochs",
    "SlowSteps",
    "Throughput",
]
