import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import VOCDetection

from ghostexp.data.voc import list_names, load_voc, read_voc
from ghostexp.data.voc_layout import VocSplits, find_set, has_val

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
    assert find_set(folder / "JPEGImages") is None
    with pytest.raises(ValueError, match="JPEGImages has no folders Annotations, JPEGImages"):
        load_voc(folder / "JPEGImages", VocSplits(), on_bad_box="error")
    write_voc(tmp_path / "VOCdevkit" / "VOC2007", {})
    with pytest.raises(ValueError, match="more than one set: give one of .*2007, .*2012 as root"):
        find_set(tmp_path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("<annotation>", "a.xml is not XML"),
        ("", "a.xml is not XML"),
        (
            "<annotation><size><width>wide</width></size></annotation>",
            "annotation/size/width is 'wide', not a number",
        ),
        (
            "<annotation><object><name>cat</name><difficult>maybe</difficult><bndbox><xmin>1</xmin>"
            "<ymin>1</ymin><xmax>2</xmax><ymax>2</ymax></bndbox></object></annotation>",
            "object/difficult is 'maybe', not 0 or 1",
        ),
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


def rewrite(folder: Path, place: str, change) -> None:
    for path in sorted(folder.glob(place)):
        path.write_text(change(path.read_text()))


def same(found, expected) -> bool:
    """Whether two sets hold the same records, the files' place aside."""
    return found.class_names == expected.class_names and all(
        [r.file.stem for r in one] == [r.file.stem for r in other]
        and all(
            (a == b).all()
            for first, second in zip(one, other, strict=True)
            for a, b in zip(first.facts(), second.facts(), strict=True)
        )
        for one, other in zip(
            (found.train, found.val, found.test),
            (expected.train, expected.val, expected.test),
            strict=True,
        )
    )


LINES = {
    "flags behind the names": lambda text: text.replace("\n", "  1\n"),
    "flags of absence": lambda text: text.replace("\n", " -1\n"),
    "endings": lambda text: text.replace("\n", ".jpg\n"),
    "endings and flags": lambda text: text.replace("\n", ".JPG  0\n"),
    "lines of Windows": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "empty lines": lambda text: "\n" + text + "\n  \n",
}


@pytest.mark.parametrize("form", LINES)
@pytest.mark.parametrize("stem", ["2008_0", "My photo (", "cam.1.", "shot 1 "])
def test_lists_as_people_have_them(tmp_path, form, stem):
    splits = {
        split: {name.replace("2008_0", stem): objects for name, objects in images.items()}
        for split, images in SPLITS.items()
    }
    folder = write_voc(tmp_path, splits)
    expected = load_voc(folder, VocSplits(), on_bad_box="error")
    assert [record.file.stem for record in expected.train] == [f"{stem}1", f"{stem}2"]
    rewrite(folder, "ImageSets/Main/*.txt", LINES[form])
    assert same(load_voc(folder, VocSplits(), on_bad_box="error"), expected)


CONTENTS = {
    "a namespace": lambda text: text.replace("<annotation>", "<annotation xmlns='http://a.org/v'>"),
    "size 0": lambda text: text.replace(">40<", ">0<", 1).replace(">30<", ">0<", 1),
    "no size": lambda text: text.replace("<size>", "<other>").replace("</size>", "</other>"),
    "difficult in words": lambda text: text.replace("<difficult>0</", "<difficult>False</").replace(
        "<difficult>1</", "<difficult>True</"
    ),
    "difficult empty": lambda text: text.replace("<difficult>0</difficult>", "<difficult/>"),
    "a whole number as 5.0": lambda text: text.replace("<xmin>3</", "<xmin>3.0</"),
}


@pytest.mark.parametrize("form", CONTENTS)
def test_annotations_as_tools_write_them(folder, form):
    expected = load_voc(folder, VocSplits(), on_bad_box="error")
    rewrite(folder, "Annotations/*.xml", CONTENTS[form])
    assert same(load_voc(folder, VocSplits(), on_bad_box="error"), expected)


@pytest.mark.parametrize("ending", ["JPG", "png", "tif"])
def test_images_with_other_endings(folder, ending):
    for path in (folder / "JPEGImages").iterdir():
        path.rename(path.with_suffix(f".{ending}"))
    found = load_voc(folder, VocSplits(), on_bad_box="error")
    assert found.train[0].file == folder / "JPEGImages" / f"2008_01.{ending}"


def labelimg(root: Path, images: str, annotations: str, count: int = 10) -> None:
    """LabelImg's output: an XML file for each image that shows something."""
    content = {f"photo {n}": [(("cat", "dog")[n % 2], 0, n + 1, 2, 20, 21)] for n in range(count)}
    made = write_voc(root.parent / "made", {"train": content})
    for source, place in (("JPEGImages", images), ("Annotations", annotations)):
        (root / place).mkdir(parents=True, exist_ok=True)
        for path in (made / source).iterdir():
            path.rename(root / place / path.name)
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("images", "annotations"),
    [(".", "."), ("photos", "photos"), ("images", "xml"), ("JPEGImages", "Annotations")],
)
def test_labelimgs_output_is_split_by_a_seeded_share(tmp_path, caplog, images, annotations):
    root = tmp_path / "root"
    labelimg(root, images, annotations)
    (root / ".ipynb_checkpoints").mkdir()
    (root / ".ipynb_checkpoints" / "photo 1.xml").write_text("")
    (root / images / "._photo 1.jpg").write_text("")
    Image.new("RGB", (40, 30)).save(root / images / "unlabelled.jpg")
    with caplog.at_level(logging.INFO):
        found, again = (load_voc(root, VocSplits(), on_bad_box="error") for _ in range(2))
    assert (found.class_names, len(found.train), len(found.test)) == (["cat", "dog"], 8, 2)
    records = sorted([*found.train, *found.test], key=lambda record: record.file.stem)
    assert [record.file.stem for record in records] == [f"photo {n}" for n in range(10)]
    for number, record in enumerate(records):
        assert record.boxes.tolist() == [[number, 1, 20, 21]]
        assert record.labels.tolist() == [number % 2 + 1]
    assert same(again, found)
    assert "2 of 10, 20%, are held out as test" in caplog.text
    assert "1 images below" in caplog.text
    assert "unlabelled.jpg" in caplog.text
    assert list_names(root, VocSplits()) == ["cat", "dog"]
    assert not has_val(root, VocSplits())


def test_labelimgs_output_in_a_folder_for_each_split(tmp_path):
    for split, count in (("train", 4), ("valid", 3), ("test", 2)):
        labelimg(tmp_path / split, ".", ".", count)
    found = load_voc(tmp_path, VocSplits(), on_bad_box="error")
    assert [len(part) for part in (found.train, found.val, found.test)] == [4, 3, 2]
    assert has_val(tmp_path, VocSplits())
    assert [record.image_id for record in found.val] == [5, 6, 7]


def test_an_xml_file_belongs_to_one_image(tmp_path):
    root = tmp_path / "root"
    labelimg(root, "a", "xml", 2)
    (root / "a" / "photo 1.jpg").rename(root / "a" / "photo 9.jpg")
    with pytest.raises(ValueError, match=r"photo 1\.xml belongs to one image .* there are 0"):
        load_voc(root, VocSplits(), on_bad_box="error")
    for place in ("a", "b"):
        (root / place).mkdir(exist_ok=True)
        Image.new("RGB", (40, 30)).save(root / place / "photo 1.jpg")
    with pytest.raises(ValueError, match=r"photo 1\.xml belongs to one image .* there are 2"):
        load_voc(root, VocSplits(), on_bad_box="error")


def test_a_size_that_the_file_does_not_have_is_named_before_training(folder):
    rewrite(folder, "Annotations/2008_02.xml", lambda text: text.replace(">40<", ">41<"))
    sentence = r"1 of 2 images of .*\(train\) .* 2008_02\.jpg: 40x30 pixels, annotated as 41x30"
    with pytest.raises(ValueError, match=sentence.replace(" 2008", ".*2008")):
        load_voc(folder, VocSplits(), on_bad_box="error")
