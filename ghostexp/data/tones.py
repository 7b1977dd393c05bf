"""Six synthetic classes of sound, made on the fly: for offline starts and tests."""

import logging

import numpy as np
import torch

from ghostexp.data.in_memory import LabelledSet
from ghostexp.data.waveforms import FULL_SCALE, Waveforms

log = logging.getLogger(__name__)

CLASS_NAMES = ["chirp_down", "chirp_up", "noise_burst", "sine", "square", "two_tone"]
TRAIN, TEST = 80, 20  # of each class
TONES_SEED = 0  # not the run's: every run trains and is tested on the same sounds


def load_tones(sample_rate: int, num_samples: int) -> LabelledSet:
    """600 waveforms int16 [T]: random pitch, phase and level, in white noise 5 to 25 dB below."""
    log.info("training on synthetic tones, which need no download; recordings: dataset=fsdd")
    rng = np.random.default_rng(TONES_SEED)
    count = TRAIN + TEST
    sounds = np.concatenate(
        [make_sounds(name, count, num_samples, sample_rate, rng) for name in CLASS_NAMES]
    )
    power = np.square(sounds).mean(axis=1, keepdims=True)
    below = rng.uniform(5, 25, (len(sounds), 1))  # dB
    noisy = sounds + rng.standard_normal(sounds.shape) * np.sqrt(power * 10 ** (-below / 10))
    level = rng.uniform(0.1, 0.9, (len(sounds), 1)) / np.abs(noisy).max(axis=1, keepdims=True)
    waveforms = torch.from_numpy((noisy * level * FULL_SCALE).round().astype(np.int16))
    labels = torch.arange(len(CLASS_NAMES)).repeat_interleave(count)
    of_class = torch.arange(len(labels)) % count
    train, test = (of_class < TRAIN).nonzero()[:, 0], (of_class >= TRAIN).nonzero()[:, 0]
    return LabelledSet(
        Waveforms(waveforms), labels, list(CLASS_NAMES), train, torch.arange(0), test
    )


def make_sounds(
    name: str, count: int, num_samples: int, sample_rate: int, rng: np.random.Generator
) -> np.ndarray:
    """Sounds [count, num_samples] of one class."""
    seconds = np.arange(num_samples) / sample_rate
    length = num_samples / sample_rate
    pitch = sample_rate / 40 * 8 ** rng.random((count, 1))  # 3 octaves: 200 to 1600 Hz at 8 kHz
    phase = 2 * np.pi * rng.random((count, 1))
    ratio = rng.uniform(1.5, 2.2, (count, 1))  # of the other pitch
    if name == "noise_burst":
        start, width = rng.uniform(0, 0.7, (count, 1)), rng.uniform(0.1, 0.3, (count, 1))
        inside = (seconds / length >= start) & (seconds / length < start + width)
        return inside * rng.standard_normal((count, num_samples))
    if name in ("chirp_up", "chirp_down"):
        first, last = (pitch, pitch * ratio) if name == "chirp_up" else (pitch * ratio, pitch)
        cycles = first * seconds + (last - first) * seconds**2 / (2 * length)
        return np.sin(2 * np.pi * cycles + phase)
    sine = np.sin(2 * np.pi * pitch * seconds + phase)
    if name == "square":
        return np.sign(sine)
    if name == "two_tone":
        return sine + np.sin(2 * np.pi * pitch * ratio * seconds)
    return sine
