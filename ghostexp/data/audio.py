"""Audio classification data: a factory for each data set, which are what conf/dataset names.

A waveform of fixed length is an example, its log-mel spectrogram the network's input.
`augment.log_mel` has the sample rate.
"""

from functools import partial
from pathlib import Path

from ghostexp.data.audio_augment import AudioAugment
from ghostexp.data.audio_source import audio_source, recordings_source, waveform_form
from ghostexp.data.csv_labels import CsvLabels
from ghostexp.data.datamodule import ClassificationData
from ghostexp.data.file_set import FileSet
from ghostexp.data.folds import Fold, chosen_fold, folded
from ghostexp.data.formats import audio_endings
from ghostexp.data.labelled_files import LabelledFiles, divided
from ghostexp.data.recordings import list_esc50, list_fsdd, list_speech_commands
from ghostexp.data.tones import CLASS_NAMES, load_tones

ESC50_FOLDS = 5


def audio_folder(
    root: str | None,
    *,
    num_classes: int | None = None,
    in_channels: int = 1,
    seconds: float = 1.0,
    label_pattern: str | None = None,
    group_pattern: str | None = None,
    csv: CsvLabels | None = None,
    on_bad_file: str = "error",
    batch_size: int = 32,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Audio files `root/<train|val|test>/<class>/*` or `root/<class>/*`, or named otherwise.

    `label_pattern`, `group_pattern` and `csv` are explained in file_set.py. Without a test part the
    fold, or a fifth of each class, is held out as test, the same one for every seed. `num_classes`
    None is the number of the classes.
    """
    if root is None:
        raise ValueError("audio_folder needs the folder of the files: give dataset.root=FOLDER")
    files = FileSet(Path(root), audio_endings(), label_pattern, group_pattern, csv)
    held_out = files.fold(folds, fold, val_split)

    def list_divided() -> LabelledFiles:
        return divided(files.list_files(), held_out, keep_groups=files.has_groups)

    return ClassificationData(
        recordings_source(
            list_divided,
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
            has_val=files.has_val,
            fold=held_out,
            list_classes=files.class_names,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=files.has_groups,
    )


def fsdd(
    root: str,
    *,
    target: str = "speaker",
    held_out_speaker: str | None = None,
    num_classes: int = 6,
    in_channels: int = 1,
    seconds: float = 1.0,
    on_bad_file: str = "error",
    batch_size: int = 32,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    keep_groups: bool = False,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Free Spoken Digit Dataset (Jackson 2016), 3,000 recordings of ten digits by six speakers.

    `target` is speaker or digit. The official split tests the first 5 of each 50; with
    `held_out_speaker` the digits of one speaker are tested by a network that never heard them.
    """
    classes = {"speaker": 6, "digit": 10}
    if target not in classes:
        raise ValueError(f"target is speaker or digit, not {target}")
    if num_classes != classes[target]:
        raise ValueError(
            f"num_classes of FSDD with target {target} is {classes[target]}, not {num_classes}"
        )
    if target == "speaker" and (held_out_speaker is not None or keep_groups):
        raise ValueError(
            "held_out_speaker and keep_groups are for target=digit: a speaker is a class"
        )
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    return ClassificationData(
        recordings_source(
            partial(list_fsdd, Path(root), target, held_out_speaker, held_out, keep_groups),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
            fold=held_out,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=keep_groups,
    )


def esc50(
    root: str,
    *,
    folds: int = 5,
    fold: int = 1,
    esc10: bool = False,
    num_classes: int = 50,
    in_channels: int = 1,
    seconds: float = 5.0,
    on_bad_file: str = "error",
    batch_size: int = 32,
    val_split: float = 0.0,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """ESC-50 (Piczak 2015): 2,000 environmental sounds in five folds; one fold is the test.

    The folds are the published ones, which count from 1. `esc10` is its part of ten classes.
    Validation is held out by whole sources, as the folds are.
    """
    if folds != ESC50_FOLDS:
        raise ValueError(f"folds of ESC-50 is {ESC50_FOLDS}, its published ones, not {folds}")
    if fold not in range(1, ESC50_FOLDS + 1):
        raise ValueError(f"fold of ESC-50 is 1 to {ESC50_FOLDS}, as published, not {fold}")
    classes = 10 if esc10 else 50
    if num_classes != classes:
        raise ValueError(
            f"num_classes of {'ESC-10' if esc10 else 'ESC-50'} is {classes}, not {num_classes}"
        )
    return ClassificationData(
        recordings_source(
            partial(list_esc50, Path(root), fold, esc10),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
            fold=Fold(fold, folds, "test"),
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=True,
    )


def speech_commands(
    root: str,
    *,
    num_classes: int = 35,
    in_channels: int = 1,
    seconds: float = 1.0,
    on_bad_file: str = "error",
    batch_size: int = 128,
    val_split: float = 0.0,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Speech Commands v0.02 (Warden 2018): 105,829 recordings of 35 words, with official lists."""
    if val_split > 0:
        raise ValueError(
            f"Speech Commands has a validation list, so val_split must be 0, not {val_split}"
        )
    return ClassificationData(
        recordings_source(
            partial(list_speech_commands, Path(root)),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
            has_val=True,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )


def tones(
    *,
    num_classes: int = 6,
    in_channels: int = 1,
    seconds: float = 0.5,
    batch_size: int = 32,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Six synthetic classes (tones.py), 480 sounds to train on and 120 to test: works offline."""
    if num_classes != len(CLASS_NAMES):
        raise ValueError(f"num_classes of tones is {len(CLASS_NAMES)}, not {num_classes}")
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    form = waveform_form(augment, seconds)
    return ClassificationData(
        audio_source(
            folded(partial(load_tones, form.sample_rate, form.num_samples), held_out),
            augment,
            form,
            in_channels=in_channels,
            fold=held_out,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )
