"""Waveforms of one form as the source of a datamodule."""

from collections.abc import Callable
from functools import partial

from ghostexp.data.audio_augment import AudioAugment
from ghostexp.data.datamodule import Source
from ghostexp.data.folds import Fold
from ghostexp.data.formats import audio_endings
from ghostexp.data.in_memory import LabelledSet
from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.data.waveforms import WaveformForm, load_recordings, load_waveform


def waveform_form(augment: AudioAugment, seconds: float) -> WaveformForm:
    """Form of waveforms `seconds` long for the spectrograms of `augment`."""
    log_mel = augment.log_mel
    samples = round(seconds * log_mel.sample_rate)
    if samples < log_mel.n_fft:
        raise ValueError(
            f"seconds={seconds} is shorter than a window: {samples} samples at"
            f" {log_mel.sample_rate} Hz, n_fft is {log_mel.n_fft}"
        )
    return WaveformForm(log_mel.sample_rate, samples, log_mel.n_fft, log_mel.f_max)


def audio_source(
    load: Callable[[], LabelledSet],
    augment: AudioAugment,
    form: WaveformForm,
    *,
    in_channels: int,
    has_val: bool = False,
    fold: Fold | None = None,
    list_classes: Callable[[], list[str]] | None = None,
) -> Source:
    """Source of waveforms of one form."""
    if in_channels != 1:
        raise ValueError(f"in_channels of audio is 1, a spectrogram, not {in_channels}")
    return Source(
        load,
        load_file=partial(load_waveform, form=form),
        extensions=audio_endings(),
        input_shape=(1, augment.log_mel.n_mels, augment.log_mel.frames(form.num_samples)),
        has_val=has_val,
        fold=fold,
        list_classes=list_classes,
    )


def recordings_source(
    list_files: Callable[[], LabelledFiles],
    augment: AudioAugment,
    *,
    in_channels: int,
    seconds: float,
    on_bad_file: str,
    has_val: bool = False,
    fold: Fold | None = None,
    list_classes: Callable[[], list[str]] | None = None,
) -> Source:
    """Source of audio files, listed when they are loaded."""
    if on_bad_file not in ("error", "skip"):
        raise ValueError(f"on_bad_file is error or skip, not {on_bad_file}")
    form = waveform_form(augment, seconds)

    def load() -> LabelledSet:
        return load_recordings(list_files(), form, on_bad_file=on_bad_file)

    return audio_source(
        load,
        augment,
        form,
        in_channels=in_channels,
        has_val=has_val,
        fold=fold,
        list_classes=list_classes,
    )
