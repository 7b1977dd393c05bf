"""What Lightning's callbacks lack, one concept per file."""

from ghostexp.training.callbacks.change_network import ChangeNetwork
from ghostexp.training.callbacks.checks import Checks, ChecksExamples
from ghostexp.training.callbacks.epoch_log import EpochLog
from ghostexp.training.callbacks.keep_record import KeepRecord
from ghostexp.training.callbacks.learning_rate import LearningRate
from ghostexp.training.callbacks.margin_warmup import MarginWarmup
from ghostexp.training.callbacks.moving_average import moving_average
from ghostexp.training.callbacks.partial import PartialCheckpoint
from ghostexp.training.callbacks.pictures import Pictures
from ghostexp.training.callbacks.progress import Progress
from ghostexp.training.callbacks.seed_batches import SeedBatches
from ghostexp.training.callbacks.slow_steps import SlowSteps
from ghostexp.training.callbacks.stop_after_batch import StopAfterBatch
from ghostexp.training.callbacks.throughput import Throughput

__all__ = [
    "ChangeNetwork",
    "Checks",
    "ChecksExamples",
    "EpochLog",
    "KeepRecord",
    "LearningRate",
    "MarginWarmup",
    "PartialCheckpoint",
    "Pictures",
    "Progress",
    "SeedBatches",
    "SlowSteps",
    "StopAfterBatch",
    "Throughput",
    "moving_average",
]
