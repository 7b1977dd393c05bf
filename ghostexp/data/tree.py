"""Folders of classes: which files belong to which class and split, and what was left out.

Hidden files and the folders of systems and editors, such as `.ipynb_checkpoints`, `@eaDir` and
`__MACOSX`, hold copies and previews: they are never data.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
ALSO_VAL = ("valid", "validation")  # as Roboflow and others name the folder
SYSTEM_NAMES = frozenset(  # in lower case; what begins with a dot is hidden anyway
    ("__macosx", "@eadir", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler")
    + ("system volume information", "lost+found", "thumbs.db", "ehthumbs.db", "desktop.ini")
    + ("icon\r", "__pycache__")
)
NAMED = 3  # examples in a sentence


@dataclass(frozen=True)
class Tree:
    """The files below a root, sorted by split, class and name; `counts` are per split."""

    root: Path
    class_names: list[str]
    paths: list[Path]
    labels: list[int]
    counts: dict[str, int]


@dataclass
class LeftOut:
    """What lies below a folder and is no data: hidden and system names, and other endings."""

    system: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)

    def report(self, root: Path) -> None:
        """Count all of it in one log line."""
        parts = []
        if self.system:
            names = Counter(path.name for path in self.system)
            parts.append(f"{len(self.system)} hidden or system names ({_some(names)})")
        if self.others:
            endings = Counter(path.suffix.lower() or path.name for path in self.others)
            parts.append(f"{len(self.others)} others, which are not read ({_some(endings)})")
        if parts:
            log.info("left out of %s: %s", root, ", ".join(parts))


def check_root(root: Path) -> None:
    """Refuse a folder that is not there."""
    if not root.is_dir():
        raise ValueError(f"root={root} is no folder")


def is_system(name: str) -> bool:
    """Whether a file or folder of this name belongs to a system and is hidden from users."""
    return name.startswith(".") or name.lower() in SYSTEM_NAMES


def scan(root: Path, extensions: Set[str], splits: tuple[str, ...] = SPLITS) -> Tree:
    """Files of `root/<train|val|test>/<class>/`, or of `root/<class>/` without a `train`.

    The classes are the folders of train. A class may lack val or test files, which is warned of.
    """
    folders = split_folders(root, splits)
    class_names = class_folders(folders["train"])
    left_out = LeftOut()
    for place in {root, *folders.values()}:
        _note_strays(place, {*folders.values(), *(place / name for name in class_names)}, left_out)
    paths, labels, counts = [], [], {}
    for split, folder in folders.items():
        _check_classes(folder, class_names, folders["train"])
        found = [files_below(folder / name, extensions, left_out) for name in class_names]
        _check_empty(split, folder, dict(zip(class_names, found, strict=True)))
        paths += [path for files in found for path in files]
        labels += [label for label, files in enumerate(found) for _ in files]
        counts[split] = sum(map(len, found))
    left_out.report(root)
    return Tree(root, class_names, paths, labels, counts)


def split_folders(root: Path, splits: tuple[str, ...] = SPLITS) -> dict[str, Path]:
    """The folder of each split that `root` has; `root` itself is train where it has none."""
    check_root(root)
    folders = {}
    for split in splits:
        names = (split, *ALSO_VAL) if split == "val" else (split,)
        found = [root / name for name in names if (root / name).is_dir()]
        if len(found) > 1:
            raise ValueError(
                f"{root} has two validation folders, {found[0].name} and {found[1].name}"
            )
        if found:
            folders[split] = found[0]
    if not folders:
        folders = {"train": root}
    if "train" not in folders:
        raise ValueError(f"{root} has a folder {' and '.join(folders)}, but no train")
    return folders


def present_splits(root: Path) -> set[str]:
    """The splits for which a root has a folder; the root need not be there yet."""
    found = {name for name in (*SPLITS, *ALSO_VAL) if (root / name).is_dir()}
    return {"val" if name in ALSO_VAL else name for name in found}


def list_classes(root: Path, splits: tuple[str, ...] = SPLITS) -> list[str]:
    """Names of the classes of a root, from the names of its folders alone."""
    return class_folders(split_folders(root, splits)["train"])


def class_folders(folder: Path) -> list[str]:
    """Sorted names of the class folders in `folder`; at least one."""
    names = _subfolders(folder)
    if not names:
        raise ValueError(f"{folder} has no class folders: files are expected as <class>/<file>")
    return names


def files_below(folder: Path, extensions: Set[str], left_out: LeftOut | None = None) -> list[Path]:
    """All files below a folder with one of these endings, sorted; links to folders are followed.

    What is skipped is added to `left_out`.
    """
    left_out = LeftOut() if left_out is None else left_out
    return sorted(
        path
        for path in _visible_files(folder, left_out)
        if _keep(path.suffix.lower() in extensions, path, left_out.others)
    )


def _visible_files(folder: Path, left_out: LeftOut) -> Iterator[Path]:
    for directory, folders, names in os.walk(folder, followlinks=True):
        place = Path(directory)
        folders[:] = [
            name
            for name in sorted(folders)
            if _keep(not is_system(name), place / name, left_out.system)
        ]
        for name in names:
            if _keep(not is_system(name), place / name, left_out.system):
                yield place / name


def _keep(good: bool, path: Path, skipped: list[Path]) -> bool:
    if not good:
        skipped.append(path)
    return good


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and not is_system(entry.name)
    )


def _note_strays(folder: Path, known: Set[Path], left_out: LeftOut) -> None:
    """Add what lies beside the known folders, except our cache."""
    for path in sorted(folder.iterdir()):
        if is_system(path.name):
            if path.name != ".ghostexp":
                left_out.system.append(path)
        elif path not in known:
            left_out.others.append(path)


def _check_classes(folder: Path, class_names: list[str], train: Path) -> None:
    unknown = [name for name in _subfolders(folder) if name not in class_names]
    if unknown:
        raise ValueError(
            f"{folder} has the class folder {', '.join(unknown)}, which {train} lacks: a network"
            " cannot learn a class without training files"
        )


def _check_empty(split: str, folder: Path, found: dict[str, list[Path]]) -> None:
    empty = [name for name, files in found.items() if not files]
    if empty and split == "train":
        raise ValueError(f"the class folder {folder / empty[0]} holds no file that can be read")
    if len(empty) == len(found):
        raise ValueError(f"{folder} holds no file of any class")
    if empty:
        log.warning(
            "%s has no file of %s: its accuracy says nothing of %s",
            folder,
            "the class " + empty[0] if len(empty) == 1 else "the classes " + ", ".join(empty),
            "this class" if len(empty) == 1 else "these classes",
        )


def _some(counts: Counter[str]) -> str:
    shown = [name if count == 1 else f"{count} {name}" for name, count in counts.most_common(NAMED)]
    return ", ".join(shown) + (", ..." if len(counts) > NAMED else "")
