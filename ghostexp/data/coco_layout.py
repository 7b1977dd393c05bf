"""Where the files of a set in COCO's form lie: a JSON file for each split, or for everything."""

from dataclasses import dataclass
from pathlib import Path

from ghostexp.data.tree import is_system, split_folders


@dataclass(frozen=True)
class CocoFiles:
    """Annotation files of the splits and their folder of images, below a root.

    Without `val` nothing is validated, without `test` a share of train is held out. Where `train`
    is not there, a folder for each split is looked for, with a JSON file beside its images, and
    then a single JSON file for everything.
    """

    train: str = "annotations/train.json"
    val: str | None = "annotations/val.json"
    test: str | None = "annotations/test.json"
    images: str = "images"

    def splits(self, root: Path) -> dict[str, tuple[Path, Path]]:
        """(annotation file, folder of the images) of each split."""
        names = {"train": self.train, "val": self.val, "test": self.test}
        if (root / self.train).is_file():
            return {
                split: (root / name, root / self.images)
                for split, name in names.items()
                if name is not None
            }
        return _split_folders(root) or {"train": self._only_file(root)}

    def _only_file(self, root: Path) -> tuple[Path, Path]:
        found = [*_json_files(root), *_json_files(root / "annotations")]
        if len(found) != 1:
            names = ", ".join(str(path.relative_to(root)) for path in found) or "none"
            raise ValueError(
                f"there is no annotation file {root / self.train}, no folder train with a JSON file"
                f" beside its images, and no single JSON file for everything, but {names}:"
                " dataset.files.train names the file below dataset.root"
            )
        images = root / self.images
        return found[0], images if images.is_dir() else found[0].parent


def _split_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """Roboflow's form: a folder for each split, each with a JSON file beside its images."""
    if not (root / "train").is_dir():
        return {}
    files = {split: _json_files(folder) for split, folder in split_folders(root).items()}
    if not files["train"]:
        return {}
    for split, found in files.items():
        if len(found) != 1:
            raise ValueError(
                f"the {split} folder of {root} has {len(found)} JSON files instead of one"
            )
    return {split: (found[0], found[0].parent) for split, found in files.items()}


def _json_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.json") if not is_system(path.name))
