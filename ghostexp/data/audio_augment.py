"""From a batch of waveforms to a batch of normalised, for training augmented, log-mel spectrograms.

waveforms int16 [B, T] -> shift, gain, noise -> log-mel -> normalise -> masks -> mix
"""

import torch
from torch import Tensor

from ghostexp.data.augment import Mix, mix_batch
from ghostexp.data.draws import Place
from ghostexp.data.log_mel import LogMel

FULL_SCALE = 2**15  # of int16


class SpecAugment:
    """Sets random bands of normalised spectrograms [B, 1, F, T] to 0, their mean.

    `freq_masks` bands of up to `freq_width` mels and `time_masks` of up to `time_width` frames, of
    which none covers more than a share `max_time` of all (Park et al. 2019, sec. 2: F, T, p).
    """

    def __init__(
        self,
        *,
        freq_masks: int = 2,
        freq_width: int = 8,
        time_masks: int = 2,
        time_width: int = 16,
        max_time: float = 1.0,
    ) -> None:
        counts = {"freq_masks": freq_masks, "freq_width": freq_width}
        for name, count in {**counts, "time_masks": time_masks, "time_width": time_width}.items():
            if not isinstance(count, int) or count < 0:
                raise ValueError(f"{name} is a whole number of at least 0, not {count}")
        if not 0 < max_time <= 1:
            raise ValueError(f"max_time is a share of the frames in (0, 1], not {max_time}")
        self.freq_masks = freq_masks
        self.freq_width = freq_width
        self.time_masks = time_masks
        self.time_width = time_width
        self.max_time = max_time

    def __call__(self, spectrograms: Tensor, generator: torch.Generator) -> Tensor:
        n, _, mels, frames = spectrograms.shape
        longest = min(self.time_width, int(self.max_time * frames))
        rows = random_bands(n, mels, self.freq_masks, self.freq_width, generator)
        columns = random_bands(n, frames, self.time_masks, longest, generator)
        masked = rows[:, None, :, None] | columns[:, None, None, :]  # [B, 1, F, T]
        return spectrograms.masked_fill(masked.to(spectrograms.device), 0.0)


class AudioAugment:
    """int16 waveforms [B, T] to normalised log-mel spectrograms [B, 1, n_mels, frames].

    `mean` and `std` are of the data set's decibels, one value each; null for both: each example by
    its own. For training also, each drawn anew for each example and null or 0 for none: `shift` in
    seconds, to either side, zeros coming in; `gain_db`, louder or softer; `noise_snr_db` [low,
    high], white noise so far below the example's power; `masks` of the spectrogram; `mix` is called
    with (spectrograms, labels), as torchvision's MixUp.
    """

    num_channels = 1

    def __init__(
        self,
        *,
        log_mel: LogMel,
        mean: float | None,
        std: float | None,
        shift: float = 0.0,
        gain_db: float = 0.0,
        noise_snr_db: list[float] | None = None,
        masks: SpecAugment | None = None,
        mix: Mix | None = None,
    ) -> None:
        if (mean is None) != (std is None) or (std is not None and std <= 0):
            raise ValueError(
                f"mean and std are both numbers, std above 0, or both null, not {mean} and {std}"
            )
        for name, size in (("shift", shift), ("gain_db", gain_db)):
            if size < 0:
                raise ValueError(f"{name} is a number of at least 0, not {size}")
        if noise_snr_db is not None and not (
            len(noise_snr_db) == 2 and noise_snr_db[0] <= noise_snr_db[1]
        ):
            raise ValueError(f"noise_snr_db is [low, high] or null, not {noise_snr_db}")
        self.log_mel = log_mel
        self.mean = mean
        self.std = std
        self.shift = shift
        self.gain_db = gain_db
        self.noise_snr_db = noise_snr_db
        self.masks = masks
        self.mix = mix

    def train(self, waveforms: Tensor, labels: Tensor, place: Place) -> tuple[Tensor, Tensor]:
        """Augmented spectrograms and their targets: labels [B], or class shares [B, K] if mixed."""
        generator = place.generator()
        inputs = self._spectrograms(self._vary(waveforms.float() / FULL_SCALE, generator))
        if self.masks is not None:
            inputs = self.masks(inputs, generator)
        if self.mix is None:
            return inputs, labels
        return mix_batch(self.mix, inputs, labels, generator)

    def evaluate(self, waveforms: Tensor) -> Tensor:
        """Normalised spectrograms, float32."""
        return self._spectrograms(waveforms.float() / FULL_SCALE)

    def picture(self, inputs: Tensor) -> Tensor:
        """Spectrograms in [0, 1] to look at: low frequencies below, each with its own scale."""
        low, high = (bound(inputs.float(), (1, 2, 3), True) for bound in (torch.amin, torch.amax))
        return ((inputs - low) / (high - low).clamp(min=1e-6)).flip(2)

    def _vary(self, waveforms: Tensor, generator: torch.Generator) -> Tensor:
        if self.shift:
            limit = round(self.shift * self.log_mel.sample_rate)
            waveforms = random_shift(waveforms, limit, generator)
        if self.gain_db:
            gain = uniform(len(waveforms), -self.gain_db, self.gain_db, generator)
            waveforms = waveforms * (10 ** (gain / 20)).to(waveforms.device)
        if self.noise_snr_db is not None:
            snr = uniform(len(waveforms), *self.noise_snr_db, generator)
            waveforms = add_noise(waveforms, snr, generator)
        return waveforms

    def _spectrograms(self, waveforms: Tensor) -> Tensor:
        log_mel = self.log_mel(waveforms)
        if self.mean is not None:
            return (log_mel - self.mean) / self.std
        std, mean = torch.std_mean(log_mel, dim=(1, 2, 3), keepdim=True)
        return (log_mel - mean) / std.clamp(min=1e-6)  # silence has none


def random_shift(waveforms: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    """Each waveform [B, T] moved by -limit to limit samples, with zeros where nothing was."""
    n, samples = waveforms.shape
    shift = torch.randint(-limit, limit + 1, (n, 1), generator=generator)
    device = waveforms.device
    sources = torch.arange(samples, device=device) - shift.to(device)  # [B, T]
    moved = waveforms.gather(1, sources.clamp(0, samples - 1))
    return moved.masked_fill((sources < 0) | (sources >= samples), 0.0)


def add_noise(waveforms: Tensor, snr_db: Tensor, generator: torch.Generator) -> Tensor:
    """White noise, `snr_db` [B, 1] decibels weaker than its waveform [B, T]."""
    device = waveforms.device
    seed = int(torch.randint(2**62, (), generator=generator))
    drawn = torch.Generator(device).manual_seed(seed)  # on the device: as many numbers as samples
    noise = torch.randn(waveforms.shape, generator=drawn, device=device)
    power = waveforms.square().mean(dim=1, keepdim=True)
    return waveforms + noise * (power * 10 ** (-snr_db / 10).to(device)).sqrt()


def random_bands(n: int, size: int, count: int, width: int, generator: torch.Generator) -> Tensor:
    """Booleans [n, size] that are true in `count` bands each, 0 to `width` wide, anywhere."""
    widths = torch.randint(min(width, size) + 1, (n, count, 1), generator=generator)
    starts = (torch.rand(n, count, 1, generator=generator) * (size - widths + 1)).long()
    offsets = torch.arange(size) - starts  # [n, count, size]
    return ((offsets >= 0) & (offsets < widths)).any(dim=1)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draws [n, 1] between `low` and `high`."""
    return low + (high - low) * torch.rand(n, 1, generator=generator)
