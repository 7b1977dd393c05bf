"""Which audio files belong to a data set: label, split and group of each, before any is decoded."""

import csv
from pathlib import Path

from ghostexp.data.archives import Archive, provide
from ghostexp.data.folds import Fold
from ghostexp.data.labelled_files import LabelledFiles, divided
from ghostexp.data.tree import check_root, files_below, is_system

FSDD = Archive(
    "FSDD",
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/"
    "d6938f9bf1545aa66d8489fc9f1385a7abd64282.tar.gz",  # tag v1.0.10
    "free-spoken-digit-dataset-1.0.10.tar.gz",
    "recordings",
    # of a copy of v1.0.10 with its 3,000 recordings of 21,128,848 bytes
    content="a2e8a660492f28d9eed6270b290d26cbc5c81d6077ce87d3c0ad5adf4d4ee696",
)
ESC50 = Archive(
    "ESC-50",
    "https://github.com/karolpiczak/ESC-50/archive/33c8ce9eb2cf0b1c2f8bcf322eb349b6be34dbb6.zip",
    "ESC-50-33c8ce9e.zip",
    "meta",
    # of 645,832,161 bytes, as several projects publish it that pin this commit; not fetched by us
    sha256="661183a6f53ef04f12c9bd618fed0ddc1713280d6c94a5a5431e844ba6f6a21f",
)
SPEECH_COMMANDS = Archive(
    "Speech Commands",
    "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
    "speech_commands_v0.02.tar.gz",
    "testing_list.txt",
    "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
)
FSDD_TEST_RECORDINGS = 5  # of each speaker and digit: those numbered 0 to 4


def list_fsdd(
    root: Path,
    target: str,
    held_out_speaker: str | None,
    fold: Fold | None,
    keep_groups: bool,
) -> LabelledFiles:
    """`root/recordings/<digit>_<speaker>_<index>.wav`; the test split is the index's below 5.

    With `held_out_speaker` it is all of that speaker's, and none of the others'. A fold is of the
    training recordings, by whole speakers with `keep_groups`.
    """
    provide(FSDD, root)
    paths = files_below(root / FSDD.holds, {".wav"})
    parts = [path.stem.split("_") for path in paths]
    for path, part in zip(paths, parts, strict=True):
        if len(part) != 3 or not part[2].isdigit():
            raise ValueError(f"{path} is not named <digit>_<speaker>_<index>.wav, as FSDD's are")
    digits, speakers, numbers = ([part[k] for part in parts] for k in range(3))
    if held_out_speaker is None:
        is_test = [int(number) < FSDD_TEST_RECORDINGS for number in numbers]
    elif held_out_speaker in speakers:
        is_test = [speaker == held_out_speaker for speaker in speakers]
    else:
        known = ", ".join(sorted(set(speakers)))
        raise ValueError(f"held_out_speaker={held_out_speaker} is none of the speakers ({known})")
    names = digits if target == "digit" else speakers
    class_names = sorted(set(names))
    files = LabelledFiles(
        root,
        paths,
        [class_names.index(name) for name in names],
        class_names,
        ["test" if test else "train" for test in is_test],
        speakers if target == "digit" else None,
    )
    return divided(files, fold, keep_groups=keep_groups)


def list_esc50(root: Path, fold: int, esc10: bool) -> LabelledFiles:
    """`root/meta/esc50.csv` and `root/audio`; clips of one source are in one of the five folds."""
    provide(ESC50, root)
    with (root / "meta" / "esc50.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if not esc10 or row["esc10"] == "True"]
    names = {int(row["target"]): row["category"] for row in rows}
    class_names = [names[target] for target in sorted(names)]
    return LabelledFiles(
        root,
        [root / "audio" / row["filename"] for row in rows],
        [class_names.index(row["category"]) for row in rows],
        class_names,
        ["test" if int(row["fold"]) == fold else "train" for row in rows],
        [row["src_file"] for row in rows],
    )


def list_speech_commands(root: Path) -> LabelledFiles:
    """`root/<word>/<speaker>_nohash_<n>.wav`, split by the lists that the set brings."""
    provide(SPEECH_COMMANDS, root)
    check_root(root)
    words = sorted(
        path.name
        for path in root.iterdir()
        if path.is_dir() and path.name[0] != "_" and not is_system(path.name)
    )
    paths = [path for word in words for path in files_below(root / word, {".wav"})]
    listed = {
        name: split
        for split, file in (("val", "validation_list.txt"), ("test", "testing_list.txt"))
        for name in (root / file).read_text().split()
    }
    names = [f"{path.parent.name}/{path.name}" for path in paths]
    if missing := sorted(set(listed) - set(names)):
        raise ValueError(f"{root} lacks {len(missing)} of the listed files, such as {missing[0]}")
    return LabelledFiles(
        root,
        paths,
        [words.index(path.parent.name) for path in paths],
        words,
        [listed.get(name, "train") for name in names],
        [path.name.split("_")[0] for path in paths],
    )
