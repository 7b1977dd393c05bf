import logging
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import VOCDetection

from ghostexp.data.voc import VocSplits, find_set, load_voc, read_voc

OBJECT = """<object><name>{}</name><difficult>{}</difficult>
<part><name>head</name><bndbox><xmin>9</xmin><ymin>9</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></part>
<bndbox><xmax>{}</xmax><xmin>{}</xmin><ymin>{}</ymin><ymax>{}</ymax></bndbox></object>"""


def write_voc(folder: Path, splits: dict[str, dict[str, list[tuple]]]) -> Path:
    """Lists of images, each with (name, difficult, xmin, ymin, xmax, ymax) objects."""
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for split, images in splits.items():
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(images) + "\n")
        for stem, objects in images.items():
            boxes = "".join(
                OBJECT.format(name, difficult, right, left, top, bottom)
                for name, difficult, left, top, right, bottom in objects
            )
            size = "<size><width>40</width><height>30</height><depth>3</depth></size>"
            (folder / "Annotations" / f"{stem}.xml").write_text(
                f"<annotation><filename>elsewhere.jpg</filename>{size}{boxes}</annotation>"
            )
            Image.new("RGB", (40, 30)).save(folder / "JPEGImages" / f"{stem}.jpg")
    return folder


SPLITS = {
    "train": {
        "2008_01": [("dog", 0, 1, 1, 40, 30), ("cat", 1, 3, 4, 10, 12)],
        "2008_02": [],
    },
    "val": {"2008_07": [("cow", 0, 5.5, 6, 20, 21)]},
    "test": {"2008_09": [("cat", 0, 2, 2, 3, 3)]},
}


@pytest.fixture
def folder(tmp_path):
    return write_voc(tmp_path / "VOCdevkit" / "VOC2012", SPLITS)


def test_boxes_classes_and_difficult_objects(folder):
    found = load_voc(folder, VocSplits(), on_bad_box="error")
    assert (found.class_names, found.category_ids) == (["cat", "cow", "dog"], [1, 2, 3])
    first, empty = found.train
    assert first.boxes.tolist() == [[0, 0, 40, 30], [2, 3, 10, 12]]
    assert (first.labels.tolist(), first.iscrowd.tolist()) == ([3, 1], [0, 1])
    assert first.area.tolist() == [1200, 72]
    assert empty.boxes.shape == (0, 4)
    assert found.val[0].boxes.tolist() == [[4.5, 5, 20, 21]]
    assert [record.image_id for record in (first, empty, *found.val, *found.test)] == [1, 2, 3, 4]
    assert first.file == folder / "JPEGImages" / "2008_01.jpg"


def test_it_holds_what_torchvision_reads(folder, tmp_path):
    theirs = VOCDetection(tmp_path, year="2012", image_set="train")
    found = load_voc(folder, VocSplits(), on_bad_box="error")
    assert [str(record.file) for record in found.train] == theirs.images
    for record, (_, tree) in zip(found.train, theirs, strict=True):
        objects = tree["annotation"].get("object", [])
        boxes = [[float(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")] for o in objects]
        assert (record.boxes + [1, 1, 0, 0]).tolist() == boxes
        names = [found.class_names[label - 1] for label in record.labels]
        assert names == [entry["name"] for entry in objects]


def test_splits_may_have_other_names_and_val_may_be_missing(folder):
    found = load_voc(folder, VocSplits(val=None, test="val"), on_bad_box="error")
    assert found.val == []
    assert [record.file.stem for record in found.test] == ["2008_07"]
    assert found.class_names == ["cat", "cow", "dog"]


def test_box_without_area_is_dropped_or_refused(tmp_path, caplog):
    splits = SPLITS | {"train": {"a": [("dog", 0, 5, 5, 4, 9), ("cow", 0, 50, 5, 60, 9)]}}
    folder = write_voc(tmp_path, splits)
    with pytest.raises(ValueError, match=r"\(train\) without an area .* 2, as .*a\.jpg"):
        load_voc(folder, VocSplits(), on_bad_box="error")
    with caplog.at_level(logging.WARNING):
        found = load_voc(folder, VocSplits(), on_bad_box="drop")
    assert len(found.train[0].labels) == 0
    assert "a.jpg" in caplog.text


def test_the_set_is_found_below_a_devkit(folder, tmp_path):
    assert find_set(folder) == find_set(folder.parent) == find_set(tmp_path) == folder
    with pytest.raises(ValueError, match="JPEGImages has no folders Annotations, JPEGImages"):
        find_set(folder / "JPEGImages")
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {})
    with pytest.raises(ValueError, match="more than one set: give one of .*2007, .*2012 as root"):
        find_set(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<annotation>", "a.xml is not XML"),
        ("", "a.xml is not XML"),
        ("<annotation/>", "annotation/size/width is None, not a number"),
        ("<annotation><size><width>0</width><height>3</height></size></annotation>", "size 0 x 3"),
        (
            "<annotation><size><width>9</width><height>9</height></size>"
            "<object><bndbox/></object></annotation>",
            "an object without a name",
        ),
        (
            "<annotation><size><width>9</width><height>9</height></size><object><name>cat</name>"
            "<bndbox><xmin>left</xmin></bndbox></object></annotation>",
            "object/bndbox/xmin is 'left', not a number",
        ),
        (None, "there is no annotation file .*a.xml"),
    ],
)
def test_wrong_annotation_files_are_named(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "a.xml").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_voc(tmp_path / "a.xml")


def test_missing_lists_and_images_are_named(folder):
    with pytest.raises(ValueError, match=r"no list of images .*holiday\.txt"):
        load_voc(folder, VocSplits(train="holiday"), on_bad_box="drop")
    (folder / "JPEGImages" / "2008_02.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 of 2 image files .*\(train\) .*2008_02\.jpg"):
        load_voc(folder, VocSplits(), on_bad_box="drop")
    (folder / "ImageSets" / "Main" / "val.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"val\.txt lists no image"):
        load_voc(folder, VocSplits(), on_bad_box="drop")
