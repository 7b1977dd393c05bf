"""Log-mel spectrograms of a batch of waveforms, on their device.

Power spectrum (Hann window, zero-padded so that frame t is centred at sample t * hop_length), mel
filters of equal area (Slaney 1998), decibels: librosa's `melspectrogram` and `power_to_db`.
"""

import torch
from torch import Tensor

FLOOR = 1e-10  # of the power, as librosa's amin: -100 dB


class LogMel:
    """Waveforms [B, T] in [-1, 1] -> float32 [B, 1, n_mels, 1 + T // hop_length], in decibels.

    `sample_rate`, `f_min` and `f_max` in Hz (null: half of the sample rate), `n_fft` (window and
    transform) and `hop_length` in samples. `top_db` lifts what lies further below the maximum of
    its example, null: nothing. Computed in 32 bit, also under autocast.
    """

    def __init__(
        self,
        *,
        sample_rate: int,
        n_fft: int,
        hop_length: int,
        n_mels: int,
        f_min: float = 0.0,
        f_max: float | None = None,
        top_db: float | None = 80.0,
    ) -> None:
        sizes = {"sample_rate": sample_rate, "n_fft": n_fft, "n_mels": n_mels}
        for name, size in {**sizes, "hop_length": hop_length}.items():
            if not isinstance(size, int) or size < 1:
                raise ValueError(f"{name} is a whole number of at least 1, not {size}")
        f_max = sample_rate / 2 if f_max is None else f_max
        if f_max > sample_rate / 2:
            raise ValueError(f"sample_rate={sample_rate} is below twice f_max={f_max:g} Hz")
        if not 0 <= f_min < f_max:
            raise ValueError(f"f_min={f_min} is not between 0 and f_max={f_max:g} Hz")
        if top_db is not None and top_db <= 0:
            raise ValueError(f"top_db is a number of decibels above 0, or null, not {top_db}")
        self.sample_rate = sample_rate
        self.n_fft = n_fft
        self.hop_length = hop_length
        self.n_mels = n_mels
        self.f_min = f_min
        self.f_max = f_max
        self.top_db = top_db
        self.window = torch.hann_window(n_fft, dtype=torch.float64).float()  # exact to the last bit
        self.filters = mel_filters(sample_rate, n_fft, n_mels, f_min, f_max)

    def __call__(self, waveforms: Tensor) -> Tensor:
        self.window = self.window.to(waveforms.device)  # stays there, once moved
        self.filters = self.filters.to(waveforms.device)
        with torch.autocast(waveforms.device.type, enabled=False):
            spectra = torch.stft(
                waveforms.float(),
                self.n_fft,
                self.hop_length,
                window=self.window,
                center=True,
                pad_mode="constant",
                return_complex=True,
            )  # [B, 1 + n_fft // 2, frames]
            power = spectra.real.square() + spectra.imag.square()
            mel = self.filters @ power  # [B, n_mels, frames]
            decibels = 10 * mel.clamp(min=FLOOR).log10()
        if self.top_db is not None:
            loudest = decibels.amax(dim=(1, 2), keepdim=True)
            decibels = decibels.maximum(loudest - self.top_db)
        return decibels[:, None]

    def frames(self, samples: int) -> int:
        """Frames of a waveform of `samples`."""
        return 1 + samples // self.hop_length


def mel_filters(sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float) -> Tensor:
    """librosa's filters [n_mels, 1 + n_fft // 2]; more mels than the bins can hold are refused."""
    try:
        import librosa  # seconds of imports that only audio needs
    except ModuleNotFoundError as error:
        raise ValueError(f"audio data needs {error.name}: pip install 'ghostexp[audio]'") from error
    bins = librosa.fft_frequencies(sr=sample_rate, n_fft=n_fft)
    corners = librosa.mel_frequencies(n_mels + 2, fmin=f_min, fmax=f_max)
    inside = (bins > corners[:-2, None]) & (bins < corners[2:, None])  # [n_mels, bins]
    if empty := int((~inside.any(axis=1)).sum()):
        raise ValueError(
            f"{empty} of n_mels={n_mels} filters lie between two of the frequencies that"
            f" n_fft={n_fft} tells apart, {sample_rate / n_fft:g} Hz: lower n_mels, or raise n_fft"
        )
    filters = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max
    )
    return torch.from_numpy(filters)
