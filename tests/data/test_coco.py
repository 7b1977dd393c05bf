import contextlib
import json
import logging
from copy import deepcopy

import numpy as np
import pytest
from helpers import write_coco
from pycocotools.coco import COCO

from ghostexp.data.coco import load_coco, read_coco
from ghostexp.data.coco_layout import CocoFiles

CATEGORIES = [{"id": 20, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 7, "name": "cow"}]


def annotation(number, image_id, bbox, category_id=3, **more):
    return {
        "id": number, "image_id": image_id, "category_id": category_id, "bbox": bbox, **more,
    }  # fmt: skip


def content(*annotations, images=2):
    sizes = [
        {"id": 10 + n, "file_name": f"{n}.png", "width": 40, "height": 30} for n in range(images)
    ]
    return {"images": sizes, "annotations": list(annotations), "categories": deepcopy(CATEGORIES)}


def read(tmp_path, data, on_bad_box="error"):
    write_coco(tmp_path / "a.json", tmp_path / "images", data)
    records, categories = read_coco(tmp_path / "a.json", tmp_path / "images", on_bad_box=on_bad_box)
    return records, categories


def test_records_are_what_pycocotools_reads(tmp_path):
    random = np.random.default_rng(0)
    annotations = []
    for number in range(40):
        left, top = random.uniform(0, 20, 2)
        box = [left, top, *random.uniform(1, 10, 2)]
        annotations.append(
            annotation(
                100 - number,
                int(random.integers(10, 14)),
                [round(float(value), 2) for value in box],
                int(random.choice([3, 7, 20])),
                area=float(random.uniform(1, 50)),
                iscrowd=int(number % 5 == 0),
            )
        )
    records, categories = read(tmp_path, content(*annotations, images=6))
    with contextlib.redirect_stdout(None):
        theirs = COCO(tmp_path / "a.json")
    assert categories == {key: theirs.cats[key]["name"] for key in sorted(theirs.getCatIds())}
    assert [record.image_id for record in records] == list(theirs.imgs)
    assert sum(len(record.labels) for record in records) == 40
    for record in records:
        image = theirs.imgs[record.image_id]
        assert (record.width, record.height) == (image["width"], image["height"])
        assert record.file == tmp_path / "images" / image["file_name"]
        expected = theirs.imgToAnns[record.image_id]
        left, top, width, height = np.array([a["bbox"] for a in expected]).reshape(-1, 4).T
        boxes = np.stack([left, top, left + width, top + height], axis=1)
        assert np.allclose(record.boxes, boxes, atol=1e-5)
        ids = [list(categories)[label - 1] for label in record.labels]
        assert ids == [a["category_id"] for a in expected]
        assert record.iscrowd.tolist() == [a["iscrowd"] for a in expected]
        assert np.allclose(record.area, [a["area"] for a in expected])


def texts(data):
    """Everything as text, as converters by way of CSV write it."""
    for entry in data["images"]:
        entry |= {key: str(entry[key]) for key in ("id", "width", "height")}
    for entry in data["annotations"]:
        entry["iscrowd"] = "0"
        entry |= {key: str(entry[key]) for key in ("image_id", "category_id", "area")}
        entry["bbox"] = [str(value) for value in entry["bbox"]]
    for entry in data["categories"]:
        entry["id"] = str(entry["id"])


def floats(data):
    for part in data.values():
        for entry in part:
            for key, value in entry.items():
                entry[key] = float(value) if isinstance(value, int) else value


def each(part, **changes):
    def change(data):
        for entry in data[part]:
            for key, value in changes.items():
                entry[key] = value(entry) if callable(value) else value

    return change


def drop(part, *keys):
    def change(data):
        for entry in data[part]:
            for key in keys:
                entry.pop(key, None)

    return change


WRITTEN = {  # by others, meaning the same
    "numbers as text": texts,
    "numbers as floats": floats,
    "iscrowd of text in half of them": lambda data: data["annotations"][0].update(iscrowd="0"),
    "iscrowd true or false": each("annotations", iscrowd=False),
    "area in a list (BlenderProc)": each("annotations", area=lambda entry: [entry["area"]]),
    "no area, no iscrowd": drop("annotations", "area", "iscrowd", "segmentation"),
    "area null": each("annotations", area=None),
    "area 0": each("annotations", area=0),
    "no ids of annotations": drop("annotations", "id"),
    "ids of annotations twice": each("annotations", id=1),
    "size -1 (VGG Image Annotator)": each("images", width=-1, height=-1),
    "size 0": each("images", width=0, height=0),
    "size null": each("images", width=None, height=None),
    "no size": drop("images", "width", "height"),
    "./ before the name": each("images", file_name=lambda entry: "./" + entry["file_name"]),
    "the folder in the name": each(
        "images", file_name=lambda entry: "images/" + entry["file_name"]
    ),
    "a mask of runs": each("annotations", segmentation={"size": [30, 40], "counts": [5, 9, 6]}),
}


@pytest.mark.parametrize("form", WRITTEN)
def test_values_as_converters_write_them_mean_the_same(tmp_path, form):
    data = content(
        annotation(1, 10, [1, 1, 5, 5], area=25, iscrowd=0),
        annotation(2, 11, [2.5, 2, 6, 6], 20, area=36, iscrowd=0),
    )
    expected, _ = read(tmp_path, data)
    WRITTEN[form](data)
    (tmp_path / "a.json").write_text(json.dumps(data))
    records, categories = read_coco(tmp_path / "a.json", tmp_path / "images", on_bad_box="error")
    assert categories == {3: "cat", 7: "cow", 20: "dog"}
    for record, wanted in zip(records, expected, strict=True):
        assert record.file.resolve() == wanted.file.resolve()
        assert (record.image_id, record.width, record.height) == (wanted.image_id, 40, 30)
        for mine, theirs in zip(record.facts(), wanted.facts(), strict=True):
            assert mine.dtype == theirs.dtype
            assert np.array_equal(mine, theirs)


def test_crowds_of_text_are_crowds(tmp_path):
    crowd = [annotation(n, 10, [1, 1, 5, 5], iscrowd=v) for n, v in enumerate(["1", "true", 1.0])]
    (record, _), _ = read(tmp_path, content(*crowd))
    assert record.iscrowd.tolist() == [1, 1, 1]


def test_back_slashes_separate_folders_and_a_byte_order_mark_is_none_of_the_text(tmp_path):
    data = content(annotation(1, 10, [1, 1, 5, 5]))
    write_coco(tmp_path / "a.json", tmp_path / "images" / "sub", data)
    for entry in data["images"]:
        entry["file_name"] = "sub\\" + entry["file_name"]
    (tmp_path / "a.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(data).encode())
    records, _ = read_coco(tmp_path / "a.json", tmp_path / "images", on_bad_box="error")
    assert records[1].file == tmp_path / "images" / "sub" / "1.png"
    (tmp_path / "images" / "sub" / "1.png").rename(tmp_path / "images" / "sub\\1.png")
    records, _ = read_coco(tmp_path / "a.json", tmp_path / "images", on_bad_box="error")
    assert records[1].file == tmp_path / "images" / "sub\\1.png"


def test_ids_that_are_no_numbers_are_numbered(tmp_path, caplog):
    data = content(annotation(1, 10, [1, 1, 5, 5], 20), annotation(2, 11, [2, 2, 6, 6], 3))
    names = {10: "left", 11: "right", 3: "c", 7: "b", 20: "a"}
    write_coco(tmp_path / "annotations/train.json", tmp_path / "images", data)
    for entry in data["images"] + data["categories"]:
        entry["id"] = names[entry["id"]]
    for entry in data["annotations"]:
        entry |= {key: names[entry[key]] for key in ("image_id", "category_id")}
    (tmp_path / "annotations/train.json").write_text(json.dumps(data))
    with caplog.at_level(logging.INFO):
        found = load_coco(CocoFiles(val=None, test="annotations/train.json").splits(tmp_path),
                          on_bad_box="error")  # fmt: skip
    assert [record.image_id for record in found.train] == [1, 2]
    assert (found.class_names, found.category_ids) == (["dog", "cat", "cow"], [1, 2, 3])
    assert [record.labels.tolist() for record in found.train] == [[1], [2]]
    assert "are numbered from 1: ids such as left are no numbers" in caplog.text


def test_image_without_objects_and_annotation_without_area(tmp_path):
    (full, empty), _ = read(tmp_path, content(annotation(1, 10, [2, 3, 4, 5])))
    assert (full.area.tolist(), full.iscrowd.tolist()) == ([20], [0])
    assert empty.boxes.shape == (0, 4)
    assert (empty.boxes.dtype, empty.labels.dtype) == (np.float32, np.int64)


BAD = content(
    annotation(1, 10, [5, 5, 0, 0]),
    annotation(2, 10, [1, 2, 3, 4]),
    annotation(3, 11, [40, 3, 5, 5]),  # begins where the image ends
)


def test_boxes_without_area_are_dropped_with_their_count_and_file(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        records, _ = read(tmp_path, BAD, on_bad_box="drop")
    assert [record.boxes.tolist() for record in records] == [[[1, 2, 4, 6]], []]
    (message,) = caplog.messages
    assert "without an area inside of their image: 2, as [5.0, 5.0, 5.0, 5.0] in" in message
    assert str(tmp_path / "images" / "0.png") in message
    assert str(tmp_path / "images" / "1.png") in message


def test_boxes_without_area_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"a\.json without an area .* 2, .*0\.png.*on_bad_box=drop"
    ):
        read(tmp_path, BAD)


def test_many_bad_boxes_name_three_files(tmp_path):
    boxes = [annotation(n, 10 + n, [1, 1, -2, 3]) for n in range(5)]
    with pytest.raises(ValueError, match=r": 5, as .*2\.png and in 2 more images"):
        read(tmp_path, content(*boxes, images=5))


def test_boxes_are_clipped_to_their_image(tmp_path):
    data = content(annotation(1, 10, [-5, -6, 10, 10]), annotation(2, 10, [30, 20, 100, 100]))
    (record, _), _ = read(tmp_path, data)
    assert record.boxes.tolist() == [[0, 0, 5, 4], [30, 20, 40, 30]]


def without(key, *path):
    def change(data):
        entry = data
        for step in path:
            entry = entry[step]
        del entry[key]

    return change


def put(value, *path):
    def change(data):
        entry = data
        for step in path[:-1]:
            entry = entry[step]
        entry[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (put(10, "images", 1, "id"), "1 ids in images of .* more than once, the first is 10"),
        (put(3, "categories", 0, "id"), "1 ids in categories of .* the first is 3"),
        (put(99, "annotations", 1, "image_id"), r"annotations\[1\] of .* image_id 99, which"),
        (put(1, "annotations", 0, "category_id"), r"annotations\[0\] .* category_id 1, which"),
        (put([1, 2, 3], "annotations", 0, "bbox"), r"annotations\[0\] .* bbox \[1, 2, 3\]: four"),
        (put([], "annotations", 0, "bbox"), r"annotations\[0\] .* bbox \[\]: four numbers"),
        (put([1, 2, "x", 4], "annotations", 0, "bbox"), "four numbers are expected"),
        (put([1, 2, float("nan"), 4], "annotations", 0, "bbox"), "four numbers are expected"),
        (put("1,2,3,4", "annotations", 0, "bbox"), "four numbers are expected"),
        (put("big", "annotations", 1, "area"), r"annotations\[1\] of .*a\.json .* area 'big'"),
        (put("maybe", "annotations", 1, "iscrowd"), r"annotations\[1\] .* iscrowd='maybe': 0 or 1"),
        (put(2, "annotations", 1, "iscrowd"), "iscrowd=2: 0 or 1 is expected"),
        (put("wide", "images", 1, "width"), r"images\[1\] of .* has the size wide x 30"),
        (put(-40, "images", 1, "width"), r"images\[1\] of .* has the size -40 x 30"),
        (put(40.5, "images", 1, "width"), r"images\[1\] of .* has the size 40.5 x 30"),
        (put([1, 2], "images", 0, "id"), r"images\[0\] of .* has the id \[1, 2\], which is nei"),
        (put(None, "annotations", 0, "image_id"), r"annotations\[0\] .* image_id None, which"),
        (put(5, "images", 0, "file_name"), r"images\[0\] .* the file_name 5: a text is expected"),
        (put([], "images"), "lists no image"),
        (put("cat", "categories", 1), r"categories\[1\] of .* has no id and no name"),
        (without("bbox", "annotations", 1), r"annotations\[1\] of .* has no bbox"),
        (without("annotations"), "has no list annotations: it is no COCO annotation file"),
    ],
)  # fmt: skip
def test_wrong_content_is_named(tmp_path, change, sentence):
    data = content(annotation(1, 10, [1, 1, 5, 5]), annotation(2, 11, [2, 2, 6, 6]))
    write_coco(tmp_path / "a.json", tmp_path, data)
    change(data)
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=sentence):
        read_coco(tmp_path / "a.json", tmp_path, on_bad_box="drop")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "a.json is not JSON: "),
        ("{'images': []}", "a.json is not JSON: "),
        ("{}", "has no list categories"),
        ("[]", "has no list categories"),
        (None, "there is no annotation file .*a.json"),
    ],
)
def test_what_is_no_annotation_file_is_named(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError, match=sentence):
        read_coco(tmp_path / "a.json", tmp_path, on_bad_box="drop")


def test_missing_image_files_are_counted_and_the_first_is_named(tmp_path):
    write_coco(tmp_path / "a.json", tmp_path, content(images=4))
    for number in (1, 3):
        (tmp_path / f"{number}.png").unlink()
    with pytest.raises(ValueError, match=r"2 of 4 image files .*a\.json are missing, .*1\.png"):
        read_coco(tmp_path / "a.json", tmp_path, on_bad_box="drop")


def test_splits_of_a_root(tmp_path):
    files = CocoFiles(val=None)
    for number, split in enumerate(("train", "test")):
        data = content(annotation(1, 10, [number, 1, 5, 5], 20))
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", data)
    found = load_coco(files.splits(tmp_path), on_bad_box="error")
    assert (found.class_names, found.category_ids) == (["cat", "cow", "dog"], [3, 7, 20])
    assert (len(found.train), len(found.val), len(found.test)) == (2, 0, 2)
    assert found.train[0].labels.tolist() == [3]
    assert (found.train[0].boxes[0, 0], found.test[0].boxes[0, 0]) == (0, 1)


def test_splits_must_have_the_same_categories(tmp_path):
    for split in ("train", "val", "test"):
        data = content()
        if split == "val":
            data["categories"] = [*CATEGORIES[1:], {"id": 20, "name": "hound"}]
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", data)
    sentence = r"val\.json has the categories 20 hound, which the training file lacks or names oth"
    with pytest.raises(ValueError, match=sentence):
        load_coco(CocoFiles().splits(tmp_path), on_bad_box="error")


def test_a_later_file_may_list_fewer_categories(tmp_path):
    for split in ("train", "test"):
        data = content(annotation(1, 10, [1, 1, 5, 5], 20))
        if split == "test":
            data["categories"] = [{"id": 20, "name": "dog"}]
        write_coco(tmp_path / "annotations" / f"{split}.json", tmp_path / "images", data)
    found = load_coco(CocoFiles(val=None).splits(tmp_path), on_bad_box="error")
    assert found.class_names == ["cat", "cow", "dog"]
    assert found.test[0].labels.tolist() == [3]


def test_a_folder_for_each_split_as_roboflow_writes_it(tmp_path):
    for number, split in enumerate(("train", "valid", "test")):
        data = content(annotation(1, 10, [number, 1, 5, 5]), images=3 - number)
        write_coco(tmp_path / split / "_annotations.coco.json", tmp_path / split, data)
    found = load_coco(CocoFiles().splits(tmp_path), on_bad_box="error")
    assert [len(part) for part in (found.train, found.val, found.test)] == [3, 2, 1]
    assert found.val[0].file == tmp_path / "valid" / "0.png"
    assert found.val[0].boxes[0, 0] == 1
    (tmp_path / "valid" / "more.json").write_text("{}")
    with pytest.raises(ValueError, match="val folder of .* has 2 JSON files instead of one"):
        CocoFiles().splits(tmp_path)


@pytest.mark.parametrize("place", ["all.json", "annotations/instances_default.json"])
@pytest.mark.parametrize("images", ["images", "."])
def test_one_file_for_everything_is_split_by_a_seeded_share(tmp_path, caplog, place, images):
    boxes = [annotation(n, 10 + n, [1, 1, 5, 5]) for n in range(20)]
    folder = tmp_path / images if images == "images" else (tmp_path / place).parent
    write_coco(tmp_path / place, folder, content(*boxes, images=20))
    with caplog.at_level(logging.INFO):
        found, again = (
            load_coco(CocoFiles().splits(tmp_path), on_bad_box="error") for _ in range(2)
        )
    assert (len(found.train), len(found.val), len(found.test)) == (16, 0, 4)
    ids = [record.image_id for record in (*found.train, *found.test)]
    assert sorted(ids) == list(range(10, 30))
    assert [r.image_id for r in again.test] == [r.image_id for r in found.test]
    assert "has no test images: 4 of 20, 20%, are held out as test" in caplog.text


def test_what_is_no_layout_is_named(tmp_path):
    (tmp_path / "annotations").mkdir()
    with pytest.raises(ValueError, match=r"no single JSON file for everything, but none: data"):
        CocoFiles().splits(tmp_path)
    for name in ("a.json", "annotations/b.json", ".hidden.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(ValueError, match=r"but a\.json, annotations/b\.json: dataset\.f"):
        CocoFiles().splits(tmp_path)
    splits = CocoFiles(train="a.json", val=None, test=None).splits(tmp_path)
    assert splits == {"train": (tmp_path / "a.json", tmp_path / "images")}
