"""Log-mel spectrograms against librosa's own, in 64 bit."""

import librosa
import numpy as np
import pytest
import torch

from ghostexp.data import LogMel

SETTINGS = [
    {"n_fft": 256, "hop_length": 80, "n_mels": 64},
    {"n_fft": 512, "hop_length": 128, "n_mels": 40, "f_min": 50.0, "f_max": 3000.0},
    {"n_fft": 400, "hop_length": 160, "n_mels": 32, "top_db": None},
]


def voices() -> np.ndarray:
    """Two sounds like recordings [2, 7999]: gliding harmonics that swell and fade, in some noise.

    Where a band holds next to nothing beside loud ones, 32 bit are off by more than 1e-4 dB.
    """
    rng = np.random.default_rng(0)
    seconds = np.arange(7999) / 8000
    sounds = []
    for pitch in (110, 230):
        phase = 2 * np.pi * pitch * (seconds + 0.1 * seconds**2)
        harmonics = sum(np.sin(k * phase) / k for k in range(1, 12))
        sounds.append(0.2 * harmonics * np.sin(np.pi * seconds) ** 2)
    return np.stack(sounds) + 0.01 * rng.standard_normal((2, 7999))


@pytest.mark.parametrize("settings", SETTINGS)
def test_equals_librosa(settings):
    log_mel = LogMel(sample_rate=8000, **settings)
    waveforms = voices()
    with torch.autocast("cpu", torch.bfloat16):
        ours = log_mel(torch.from_numpy(waveforms).float())
    assert ours.dtype == torch.float32
    frames = log_mel.frames(waveforms.shape[1])
    assert ours.shape == (2, 1, settings["n_mels"], frames)
    for decibels, waveform in zip(ours[:, 0], waveforms, strict=True):
        power = librosa.feature.melspectrogram(
            y=waveform,
            sr=8000,
            n_fft=settings["n_fft"],
            hop_length=settings["hop_length"],
            n_mels=settings["n_mels"],
            fmin=settings.get("f_min", 0.0),
            fmax=settings.get("f_max"),
        )
        reference = librosa.power_to_db(power, top_db=settings.get("top_db", 80.0))
        torch.testing.assert_close(
            decibels.double(), torch.from_numpy(reference), rtol=0, atol=1e-4
        )


def test_silence_is_the_floor_and_top_db_is_of_each_example():
    waveforms = torch.zeros(3, 4000)
    waveforms[1, 2000:2100] = 1.0
    waveforms[2, 2000:2100] = 0.001
    settings = {"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 32}
    assert (LogMel(**settings, top_db=None)(waveforms)[:, :, :, 0] == -100).all()
    silence, loud, soft = LogMel(**settings, top_db=30.0)(waveforms)
    assert (silence == -100).all()
    for example in (loud, soft):
        assert float(example.max() - example.min()) == pytest.approx(30, abs=1e-3)
    assert float(loud.max() - soft.max()) == pytest.approx(60, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"f_max": 5000.0}, "sample_rate=8000 is below twice f_max=5000 Hz"),
        ({"f_min": 4000.0}, "f_min=4000.0 is not between 0 and f_max=4000 Hz"),
        ({"hop_length": 0}, "hop_length is a whole number of at least 1, not 0"),
        ({"n_fft": 256.5}, "n_fft is a whole number of at least 1, not 256.5"),
        ({"top_db": 0.0}, "top_db is a number of decibels above 0, or null, not 0.0"),
        ({"n_mels": 200}, "of n_mels=200 filters lie between .* n_fft=256 tells apart, 31.25 Hz"),
    ],
)
def test_bad_arguments_are_named(change, sentence):
    settings = {"sample_rate": 8000, "n_fft": 256, "hop_length": 80, "n_mels": 64}
    with pytest.raises(ValueError, match=sentence):
        LogMel(**{**settings, **change})
