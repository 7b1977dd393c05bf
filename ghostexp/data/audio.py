"""Audio classification data: a factory for each data set, which are what conf/dataset names.

A waveform of fixed length is an example, its log-mel spectrogram the network's input. The sample
rate is that of `augment.log_mel`.
"""

from functools import partial
from pathlib import Path

from ghostexp.data.audio_augment import AudioAugment
from ghostexp.data.audio_source import audio_source, recordings_source, waveform_form
from ghostexp.data.datamodule import ClassificationData
from ghostexp.data.recordings import list_esc50, list_folder, list_fsdd, list_speech_commands
from ghostexp.data.tones import CLASS_NAMES, load_tones
from ghostexp.data.tree import has_val_folder, list_classes


def audio_folder(
    root: str | None,
    *,
    num_classes: int | None = None,
    in_channels: int = 1,
    seconds: float = 1.0,
    group_pattern: str | None = None,
    on_bad_file: str = "error",
    batch_size: int = 32,
    val_split: float = 0.0,
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Audio files `root/<train|val|test>/<class>/*` or `root/<class>/*`.

    Without a test folder a fifth of each class is held out as test, the same one for every seed.
    `group_pattern` is a regular expression whose first bracket finds in a file's name what is to
    stay on one side of a split: `^([^_]+)_` a speaker before the first underscore. `num_classes`
    None is the number of the class folders.
    """
    if root is None:
        raise ValueError("audio_folder needs the folder of the files: give dataset.root=FOLDER")
    has_val = has_val_folder(Path(root))
    if has_val and val_split > 0:
        raise ValueError(f"{root} has a val folder, so val_split must be 0, not {val_split}")
    return ClassificationData(
        recordings_source(
            partial(list_folder, Path(root), group_pattern),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
            has_val=has_val,
            list_classes=partial(list_classes, Path(root)),
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=group_pattern is not None,
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
    return ClassificationData(
        recordings_source(
            partial(list_fsdd, Path(root), target, held_out_speaker),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
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
    test_fold: int = 1,
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
    """ESC-50 (Piczak 2015): 2,000 environmental sounds in five folds, of which one is the test.

    `esc10` is its part of ten classes. Validation is held out by whole sources, as the folds are.
    """
    if test_fold not in range(1, 6):
        raise ValueError(f"test_fold is 1 to 5, not {test_fold}")
    classes = 10 if esc10 else 50
    if num_classes != classes:
        raise ValueError(
            f"num_classes of {'ESC-10' if esc10 else 'ESC-50'} is {classes}, not {num_classes}"
        )
    return ClassificationData(
        recordings_source(
            partial(list_esc50, Path(root), test_fold, esc10),
            augment,
            in_channels=in_channels,
            seconds=seconds,
            on_bad_file=on_bad_file,
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
    augment: AudioAugment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Six synthetic classes (tones.py), 480 sounds to train on and 120 to test: works offline."""
    if num_classes != len(CLASS_NAMES):
        raise ValueError(f"num_classes of tones is {len(CLASS_NAMES)}, not {num_classes}")
    form = waveform_form(augment, seconds)
    return ClassificationData(
        audio_source(
            partial(load_tones, form.sample_rate, form.num_samples),
            augment,
            form,
            in_channels=in_channels,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )
