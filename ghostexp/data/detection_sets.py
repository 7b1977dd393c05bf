"""Detection data sets that conf/dataset names, with their facts and defaults."""

from functools import partial
from pathlib import Path

from ghostexp.data.coco import list_categories, load_coco
from ghostexp.data.coco_layout import CocoFiles
from ghostexp.data.detection import BoxSource, DetectionData
from ghostexp.data.examples import Reading
from ghostexp.data.shapes import load_shapes
from ghostexp.data.voc import list_names, load_voc
from ghostexp.data.voc_layout import VocSplits, has_val


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
        BoxSource(partial(load_shapes, tuple(image_size)), has_val=True),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        reading=reading,
        seed=seed,
    )


def coco_detection(
    root: str | None,
    *,
    num_classes: int | None = 80,
    in_channels: int = 3,
    image_size: tuple[int, int] = (480, 640),
    batch_size: int = 8,
    val_split: float = 0.0,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """COCO 2017 (Lin et al. 2014): train2017 without the share `val_split`, and val2017.

    The boxes of COCO's test images are secret: val2017 is what is tested.
    """
    check_form(num_classes, in_channels, image_size)
    place = check_root(root)
    splits = {
        split: (place / "annotations" / f"instances_{folder}.json", place / folder)
        for split, folder in (("train", "train2017"), ("test", "val2017"))
    }
    return DetectionData(
        _coco_source(splits, reading),
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
    num_classes: int | None = None,
    in_channels: int = 3,
    image_size: tuple[int, int] = (480, 640),
    batch_size: int = 8,
    val_split: float = 0.0,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Any images with annotations in COCO's form: a JSON file for each split, or for everything.

    `num_classes` None is the number of categories that the training file lists.
    """
    check_form(num_classes, in_channels, image_size)
    return DetectionData(
        _coco_source(files.splits(check_root(root)), reading),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_split=val_split,
        reading=reading,
        seed=seed,
    )


def voc_detection(
    root: str | None,
    *,
    splits: VocSplits,
    num_classes: int | None = 20,
    in_channels: int = 3,
    image_size: tuple[int, int] = (375, 500),
    batch_size: int = 8,
    val_split: float = 0.0,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Pascal VOC (Everingham et al. 2010), or any images with annotations in its form.

    `num_classes` None is the number of names in the annotation files.
    """
    check_form(num_classes, in_channels, image_size)
    place = check_root(root)
    read = {"on_bad_box": reading.on_bad_box, "exif": reading.exif}
    return DetectionData(
        BoxSource(
            partial(load_voc, place, splits, **read),
            has_val=has_val(place, splits),
            list_classes=partial(list_names, place, splits),
        ),
        num_classes=num_classes,
        image_size=image_size,
        batch_size=batch_size,
        val_split=val_split,
        reading=reading,
        seed=seed,
    )


def _coco_source(splits: dict[str, tuple[Path, Path]], reading: Reading) -> BoxSource:
    return BoxSource(
        partial(load_coco, splits, on_bad_box=reading.on_bad_box, exif=reading.exif),
        has_val="val" in splits,
        list_classes=partial(list_categories, splits["train"][0]),
    )


def check_root(root: str | None) -> Path:
    """The folder of a data set, which must be there."""
    if root is None or not Path(root).is_dir():
        raise ValueError(f"root={root} is no folder: give dataset.root=FOLDER")
    return Path(root)


def check_form(num_classes: int | None, in_channels: int, image_size: tuple[int, int]) -> None:
    """Refuse what no detection data set can be, before any file is looked at."""
    if num_classes is not None and (not isinstance(num_classes, int) or num_classes < 1):
        raise ValueError(f"num_classes is a whole number of at least 1, not {num_classes}")
    if in_channels != 3:
        raise ValueError(f"in_channels is 3, grey images are read as RGB, not {in_channels}")
    whole = all(isinstance(side, int) and side >= 1 for side in image_size)
    if len(image_size) != 2 or not whole:
        raise ValueError(f"image_size is [height, width] in pixels, not {image_size}")
