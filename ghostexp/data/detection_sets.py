"""Detection data sets that conf/dataset names, with their facts and defaults."""

from functools import partial
from pathlib import Path

from ghostexp.data.coco import CocoFiles, load_coco
from ghostexp.data.detection import DetectionData
from ghostexp.data.examples import Reading
from ghostexp.data.shapes import load_shapes
from ghostexp.data.voc import VocSplits, find_set, load_voc


def shapes_detection(
    *,
    num_classes: int = 3,
    in_channels: int = 3,
    image_size: tuple[int, int] = (128, 128),
    batch_size: int = 8,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Circles, squares and triangles on noise, rendered from fixed seeds: works offline."""
    check_form(num_classes, in_channels, image_size)
    if reading.max_size is not None:
        raise ValueError(
            f"shapes are rendered at image_size: reading.max_size is null, not {reading.max_size}"
        )
    return DetectionData(
        partial(load_shapes, tuple(image_size)),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_set=True,
        reading=reading,
        seed=seed,
    )


def coco_detection(
    root: str,
    *,
    num_classes: int = 80,
    in_channels: int = 3,
    image_size: tuple[int, int] = (480, 640),
    batch_size: int = 8,
    val_split: float = 0.0,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """COCO 2017 (Lin et al. 2014): train2017, of which `val_split` is held out, and val2017.

    The boxes of COCO's test images are secret: val2017 is what is tested.
    """
    check_form(num_classes, in_channels, image_size)
    place = check_root(root)
    splits = {
        split: (place / "annotations" / f"instances_{folder}.json", place / folder)
        for split, folder in (("train", "train2017"), ("test", "val2017"))
    }
    return DetectionData(
        partial(load_coco, splits, on_bad_box=reading.on_bad_box),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_split=val_split,
        reading=reading,
        seed=seed,
    )


def coco_json(
    root: str | None,
    *,
    files: CocoFiles,
    num_classes: int,
    in_channels: int = 3,
    image_size: tuple[int, int] = (480, 640),
    batch_size: int = 8,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Any images with annotations in COCO's form, a JSON file a split."""
    check_form(num_classes, in_channels, image_size)
    return DetectionData(
        partial(load_coco, files.splits(check_root(root)), on_bad_box=reading.on_bad_box),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_set=files.val is not None,
        reading=reading,
        seed=seed,
    )


def voc_detection(
    root: str,
    *,
    splits: VocSplits,
    num_classes: int = 20,
    in_channels: int = 3,
    image_size: tuple[int, int] = (375, 500),
    batch_size: int = 8,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Pascal VOC (Everingham et al. 2010), or any images with annotations in its form."""
    check_form(num_classes, in_channels, image_size)
    folder = find_set(check_root(root))
    return DetectionData(
        partial(load_voc, folder, splits, on_bad_box=reading.on_bad_box),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_set=splits.val is not None,
        reading=reading,
        seed=seed,
    )


def check_root(root: str | None) -> Path:
    """The folder of a data set, which must be there."""
    if root is None or not Path(root).is_dir():
        raise ValueError(f"root={root} is no folder: give dataset.root=FOLDER")
    return Path(root)


def check_form(num_classes: int, in_channels: int, image_size: tuple[int, int]) -> None:
    """Refuse what no detection data set can be, before any file is looked at."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes is a whole number of at least 1, not {num_classes}")
    if in_channels != 3:
        raise ValueError(f"in_channels is 3, grey images are read as RGB, not {in_channels}")
    whole = all(isinstance(side, int) and side >= 1 for side in image_size)
    if len(image_size) != 2 or not whole:
        raise ValueError(f"image_size is [height, width] in pixels, not {image_size}")
