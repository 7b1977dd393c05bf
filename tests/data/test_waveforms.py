"""Audio files of every kind, whole and broken, as waveforms of one form."""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from ghostexp.data import waveforms
from ghostexp.data.formats import AUDIO_ENDINGS, audio_endings
from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.data.waveforms import (
    WaveformForm,
    load_recordings,
    load_waveform,
    read_samples,
)

FORM = WaveformForm(sample_rate=8000, num_samples=4000, min_samples=256, f_max=4000.0)


def tone(seconds: float = 0.5, rate: int = 8000, pitch: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)


def write(path: Path, samples: np.ndarray | None = None, rate: int = 8000, **keywords) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, tone() if samples is None else samples, rate, **keywords)
    return path


def test_sixteen_bits_come_back_exactly(tmp_path):
    samples = np.random.default_rng(0).integers(-(2**15), 2**15, 4000).astype(np.int16)
    waveform = load_waveform(write(tmp_path / "a.wav", samples), FORM)
    assert waveform.dtype == torch.int16
    assert np.array_equal(waveform.numpy(), samples)
    assert torch.equal(load_waveform(write(tmp_path / "a.flac", samples), FORM), waveform)


@pytest.mark.parametrize("ending", ["ogg", "mp3"])
def test_lossy_files_are_read(tmp_path, ending):
    waveform = load_waveform(write(tmp_path / f"a.{ending}", tone(1.0)), FORM)
    spectrum = np.abs(np.fft.rfft(waveform.numpy()))
    assert np.argmax(spectrum) == pytest.approx(440 / 2, abs=1)  # bins of 2 Hz


def test_other_rates_lengths_and_channels_are_taken(tmp_path):
    stereo = np.stack([tone(2.0, 44100), np.zeros(88200)], axis=1)
    waveform = load_waveform(write(tmp_path / "a.wav", stereo, 44100), FORM)
    expected = tone(2.0)[6000:10000] / 2  # the mean of the channels, the middle
    assert np.abs(waveform.numpy() / 2**15 - expected).max() < 2e-3


def test_short_files_are_padded_to_the_middle(tmp_path):
    ones = np.full(1001, 1000, dtype=np.int16)
    waveform = load_waveform(write(tmp_path / "a.wav", ones), FORM)
    assert waveform.nonzero()[:, 0].tolist() == list(range(1499, 2500))


def test_what_is_above_full_scale_is_scaled_down(tmp_path):
    samples = tone().astype(np.float32) * 6
    waveform = load_waveform(write(tmp_path / "a.wav", samples, subtype="FLOAT"), FORM)
    assert np.abs(waveform.numpy() / 2**15 - samples / np.abs(samples).max()).max() < 1e-4


def test_a_rate_below_twice_f_max_is_warned_of(tmp_path, caplog):
    load_waveform(write(tmp_path / "a.wav", tone(0.5, 4000), 4000), FORM)
    assert "sample rate of 4000 Hz, below twice f_max=4000 Hz" in caplog.text


def break_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("no audio at all\n" * 50)
    elif kind == "no samples":
        write(path, np.zeros(0))
    elif kind == "silent":
        write(path, np.zeros(4000))
    elif kind == "nan":
        write(path, np.where(np.arange(4000) == 7, np.nan, tone()), subtype="FLOAT")
    elif kind == "infinite":
        write(path, np.where(np.arange(4000) == 7, np.inf, tone()), subtype="FLOAT")
    elif kind == "short":
        write(path, tone()[:200])
    elif kind == "cut":
        write(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif kind == "cut flac":
        path = write(folder / "cut.flac", np.random.default_rng(0).uniform(-1, 1, 40000))
        path.write_bytes(path.read_bytes()[:20000])
    return path


BROKEN = {
    "empty": "cannot be read as audio",
    "text": "cannot be read as audio",
    "missing": "cannot be read as audio",
    "no samples": "holds no samples",
    "silent": "is silent: all of its 4000 samples are 0",
    "nan": "holds samples that are not finite numbers",
    "infinite": "holds samples that are not finite numbers",
    "short": "is shorter than a window: 200 samples at 8000 Hz, n_fft is 256",
    "cut": "is truncated",
    "cut flac": "is truncated|cannot be read as audio",
}


@pytest.mark.parametrize("kind", BROKEN)
def test_broken_files_are_named(tmp_path, kind):
    path = break_file(tmp_path, kind)
    with pytest.raises(ValueError, match=BROKEN[kind]) as caught:
        load_waveform(path, FORM)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def recordings(root: Path, bad: bool) -> LabelledFiles:
    paths = [write(root / f"{number}.wav", tone(pitch=200 + 50 * number)) for number in range(6)]
    if bad:
        paths[2] = break_file(root, "silent")
    groups = ["x", "x", "y", "y", "z", "z"]
    splits = ["train", "test", "train", "train", "val", "train"]
    return LabelledFiles(root, paths, [0, 0, 0, 1, 1, 1], ["a", "b"], splits, groups)


def test_recordings_become_a_labelled_set_and_are_decoded_once(tmp_path, monkeypatch):
    files = recordings(tmp_path, bad=False)
    first = load_recordings(files, FORM, on_bad_file="error")
    assert first.examples[torch.arange(6)].shape == (6, 4000)
    assert torch.equal(first.examples[torch.tensor([3])][0], load_waveform(files.paths[3], FORM))
    assert [part.tolist() for part in (first.train, first.val, first.test)] == [
        [0, 2, 3, 5],
        [4],
        [1],
    ]
    assert first.groups.tolist() == [0, 0, 1, 1, 2, 2]
    monkeypatch.setattr(waveforms, "decode", None)
    again = load_recordings(files, FORM, on_bad_file="error")
    assert torch.equal(again.examples[torch.arange(6)], first.examples[torch.arange(6)])


def test_a_bad_file_is_an_error_or_skipped_and_said_each_time(tmp_path, caplog):
    files = recordings(tmp_path, bad=True)
    with pytest.raises(ValueError, match="silent.wav is silent"):
        load_recordings(files, FORM, on_bad_file="error")
    assert not (tmp_path / ".ghostexp").exists()
    for _ in range(2):
        caplog.clear()
        kept = load_recordings(files, FORM, on_bad_file="skip")
        assert "silent.wav is silent" in caplog.text
        assert "1 of 6 files are skipped" in caplog.text
        assert kept.labels.tolist() == [0, 0, 1, 1, 1]
        assert [part.tolist() for part in (kept.train, kept.val, kept.test)] == [
            [0, 2, 4],
            [3],
            [1],
        ]
        assert kept.groups.tolist() == [0, 0, 1, 2, 2]
        assert torch.equal(kept.examples[torch.tensor([2])][0], load_waveform(files.paths[3], FORM))


def test_a_class_that_is_left_without_files_is_named(tmp_path):
    files = recordings(tmp_path, bad=True)
    splits = ["val", "test", *files.splits[2:]]
    only_bad = LabelledFiles(files.root, files.paths, files.labels, files.class_names, splits)
    with pytest.raises(ValueError, match="class a of .* has no file to train on"):
        load_recordings(only_bad, FORM, on_bad_file="skip")


def test_narrow_files_of_a_set_are_counted(tmp_path, caplog):
    files = recordings(tmp_path, bad=False)
    write(files.paths[0], tone(0.5, 4000), 4000)
    load_recordings(files, FORM, on_bad_file="error")
    assert "1 of 6 files, such as" in caplog.text


def chunk(name: bytes, content: bytes, size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    return name + size.to_bytes(4, "little") + content


WHOLE = {  # as the headers of programs are wrong, with all samples there
    "size off by 8": (8, b"", b""),
    "size of a whole disk": (2**31 - 2**20, b"", b""),
    "size of nothing": (-2900, b"", b""),
    "no pad byte": (1, b"", b""),
    "other chunks before": (0, chunk(b"LIST", b"odd") + b"\0", b""),
    "other chunks behind": (0, b"", chunk(b"id3 ", b"x" * 20)),
    "another chunk cut": (0, b"", chunk(b"id3 ", b"x" * 20, size=400)),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_of_a_wav_file_the_data_chunk_decides(tmp_path, kind):
    wrong, before, behind = WHOLE[kind]
    samples = np.random.default_rng(0).integers(1, 200, 3001, dtype=np.uint8)  # an odd number
    form = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 8000, 1, 8))
    pad = b"" if kind == "no pad byte" else b"\0"
    content = b"WAVE" + form + before + chunk(b"data", samples.tobytes()) + pad + behind
    path = tmp_path / "a.wav"
    path.write_bytes(chunk(b"RIFF", content, len(content) + wrong))
    read, rate = read_samples(path)
    assert rate == 8000
    assert np.array_equal(read, (samples.astype(np.float32) - 128) / 128)
    path.write_bytes(path.read_bytes()[: -len(behind + pad) - 5])
    with pytest.raises(ValueError, match=r"a\.wav is truncated: it ends after 29\d\d samples"):
        read_samples(path)


def test_endings_are_those_that_libsndfile_reads(tmp_path):
    known = set(soundfile.available_formats()) - {"RAW", "MAT4", "MAT5", "WAVEX"}
    assert known == set(AUDIO_ENDINGS)
    assert {".aif", ".aiff", ".opus", ".wav", ".caf", ".mp3"} <= audio_endings()
    path = tmp_path / "a.opus"
    soundfile.write(path, tone(), 8000, format="OGG", subtype="OPUS")
    assert load_waveform(path, FORM).shape == (4000,)
    soundfile.write(tmp_path / "a.aif", tone(), 8000, format="AIFF")
    assert load_waveform(tmp_path / "a.aif", FORM).shape == (4000,)
