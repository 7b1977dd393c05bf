"""Audio files as waveforms of one length: checked, resampled, decoded once into a cache file.

A waveform is int16 [T], mono. What cannot be used is said in one sentence for each file.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ghostexp.data.files import cache_path, cached, in_threads
from ghostexp.data.in_memory import LabelledSet
from ghostexp.data.labelled_files import LabelledFiles, check_classes

log = logging.getLogger(__name__)

CACHE_FORMAT = 1
FILES_WORTH_A_BAR = 1000
FULL_SCALE = 2**15
STREAMED = 0x7FFF0000  # from this size on a WAV file's writer did not know it


@dataclass(frozen=True)
class WaveformForm:
    """What every waveform is brought to: its rate in Hz, its length and the shortest one taken.

    `min_samples` at that rate is a window of the spectrogram; `f_max` in Hz is what it reaches to.
    """

    sample_rate: int
    num_samples: int
    min_samples: int
    f_max: float


class Waveforms:
    """Examples int16 [B, T] from `waveforms` int16 [N, T]."""

    num_workers = 0
    random = False

    def __init__(self, waveforms: Tensor) -> None:
        self.waveforms = waveforms

    def __len__(self) -> int:
        return len(self.waveforms)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self.waveforms.index_select(0, indices)

    def content(self) -> Iterable[Tensor]:
        return [self.waveforms]


def load_recordings(files: LabelledFiles, form: WaveformForm, *, on_bad_file: str) -> LabelledSet:
    """Set of all files, or with `on_bad_file` skip of those that can be used, the others logged."""
    decoded = decode_cached(files, form, on_bad_file)
    for sentence in decoded["bad"]:
        log.warning("skipped: %s", sentence)
    kept: Tensor = decoded["kept"]
    if len(kept) < len(files.paths):
        log.warning("%d of %d files are skipped", len(files.paths) - len(kept), len(files.paths))
    files = files.only(kept.tolist())
    check_classes(files)
    return files.with_examples(Waveforms(decoded["waveforms"]))


def decode_cached(
    files: LabelledFiles, form: WaveformForm, on_bad_file: str
) -> dict[str, Tensor | list[str]]:
    """`decode`, from the cache file of the files' present content."""
    path = cache_path(
        files.root,
        files.paths,
        settings=f"{CACHE_FORMAT} {form} {on_bad_file}",
        name=f"{form.sample_rate}Hz-{form.num_samples}",
    )
    count = len(files.paths)

    def fits(kept: object) -> bool:
        return isinstance(kept, dict) and len(kept["kept"]) + len(kept["bad"]) == count

    return cached(path, lambda: decode(files.paths, form, on_bad_file), fits)


def decode(
    paths: list[Path], form: WaveformForm, on_bad_file: str
) -> dict[str, Tensor | list[str]]:
    """`waveforms` int16 [N, T] of the files numbered `kept` [N], and a sentence for each `bad`."""
    waveforms = torch.zeros(len(paths), form.num_samples, dtype=torch.int16)
    bad: dict[int, str] = {}
    narrow: list[Path] = []

    def decode_one(index: int) -> None:
        try:
            samples, rate = read_samples(paths[index])
            waveforms[index] = to_waveform(paths[index], samples, rate, form)
        except ValueError as error:
            if on_bad_file == "error":
                raise
            bad[index] = str(error)
        else:
            if rate < 2 * form.f_max:
                narrow.append(paths[index])

    in_threads(decode_one, len(paths), bar_from=FILES_WORTH_A_BAR, what="recordings")
    if narrow:
        _say_narrow(narrow, len(paths), form)
    kept = torch.tensor(
        [index for index in range(len(paths)) if index not in bad], dtype=torch.long
    )
    if bad:
        waveforms = waveforms[kept]
    return {"waveforms": waveforms, "kept": kept, "bad": [bad[index] for index in sorted(bad)]}


def _say_narrow(narrow: list[Path], count: int, form: WaveformForm) -> None:
    log.warning(
        "%d of %d files, such as %s, have a sample rate below twice f_max=%g Hz: their upper"
        " bands are empty", len(narrow), count, min(narrow), form.f_max,
    )  # fmt: skip


def load_waveform(path: str | Path, form: WaveformForm) -> Tensor:
    """Waveform int16 [T] of a file of any rate, length and number of channels."""
    samples, rate = read_samples(path)
    if rate < 2 * form.f_max:
        log.warning(
            "%s has a sample rate of %d Hz, below twice f_max=%g Hz: its upper bands are empty",
            path, rate, form.f_max,
        )  # fmt: skip
    return to_waveform(path, samples, rate, form)


def read_samples(path: str | Path) -> tuple[np.ndarray, int]:
    """Samples float32 [n], the mean of the channels, and sample rate of a whole, audible file."""
    import soundfile  # not needed for images

    try:
        with soundfile.SoundFile(path) as file:
            rate, announced = file.samplerate, file.frames
            samples = file.read(dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:  # RuntimeError: soundfile's own are
        raise ValueError(f"{path} cannot be read as audio: {error}") from error
    if announced == 0:
        raise ValueError(f"{path} holds no samples")
    if len(samples) < announced or _data_chunk_is_cut(Path(path)):
        raise ValueError(f"{path} is truncated: it ends after {len(samples)} samples")
    mono = samples.mean(axis=1)
    if not np.isfinite(mono).all():
        raise ValueError(f"{path} holds samples that are not finite numbers (NaN or infinity)")
    if not mono.any():
        raise ValueError(f"{path} is silent: all of its {len(mono)} samples are 0")
    return mono, rate


def to_waveform(path: str | Path, samples: np.ndarray, rate: int, form: WaveformForm) -> Tensor:
    """int16 [T]: resampled, scaled down where above full scale, the middle cut or padded."""
    if rate != form.sample_rate:
        import soxr  # an extra of ours

        samples = soxr.resample(samples, rate, form.sample_rate)
    if len(samples) < form.min_samples:
        raise ValueError(
            f"{path} is shorter than a window: {len(samples)} samples at {form.sample_rate} Hz,"
            f" n_fft is {form.min_samples}"
        )
    scaled = samples / max(1.0, float(np.abs(samples).max())) * FULL_SCALE
    whole = torch.from_numpy(scaled.round().clip(-FULL_SCALE, FULL_SCALE - 1).astype(np.int16))
    lacking = max(0, form.num_samples - len(whole))
    whole = F.pad(whole, (lacking // 2, lacking - lacking // 2))
    start = (len(whole) - form.num_samples) // 2
    return whole[start : start + form.num_samples]


def _data_chunk_is_cut(path: Path) -> bool:
    """Whether a WAV file ends within its samples; libsndfile reads what there is.

    The size of the RIFF chunk, which encloses the others, does not matter: many programs write it
    wrong by a few bytes, or leave out the byte that pads an odd number of bytes.
    """
    end = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return False
        file.seek(12)
        while len(header := file.read(8)) == 8:
            size = int.from_bytes(header[4:], "little")
            if header[:4] == b"data":
                return size < STREAMED and file.tell() + size > end
            file.seek(size + size % 2, 1)
    return False
