import contextlib
import json
import logging
from copy import deepcopy

import numpy as np
import pytest
from helpers import write_coco
from pycocotools.coco import COCO

from ghostexp.data.coco import CocoFiles, load_coco, read_coco

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
        (put(1, "annotations", 1, "id"), "1 ids in annotations of .* the first is 1"),
        (put(3, "categories", 0, "id"), "1 ids in categories of .* the first is 3"),
        (put(99, "annotations", 1, "image_id"), "1 annotations .* image_id, .*tion 2 with 99"),
        (put(1, "annotations", 0, "category_id"), "no known category_id, .* annotation 1 with 1"),
        (put([1, 2, 3], "annotations", 0, "bbox"), r"annotation 1 .* the bbox \[1, 2, 3\]: four"),
        (put([1, 2, "3", 4], "annotations", 0, "bbox"), "four numbers are expected"),
        (put([1, 2, float("nan"), 4], "annotations", 0, "bbox"), "four numbers are expected"),
        (put(0, "images", 0, "width"), "image 10 of .* has the size 0 x 30"),
        (put("10", "images", 0, "id"), "the id '10' in images of .* is no whole number"),
        (put([], "images"), "lists no image"),
        (put("cat", "categories", 1), r"categories\[1\] of .* has no id and no name"),
        (without("bbox", "annotations", 1), r"annotations\[1\] of .* has no bbox"),
        (without("width", "images", 0), r"images\[0\] of .* has no width"),
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
        ("{}", "has no list images"),
        ("[]", "has no list images"),
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
    sentence = r"train\.json and .*val\.json differ in their categories: 20 dog, 20 hound is in"
    with pytest.raises(ValueError, match=sentence):
        load_coco(CocoFiles().splits(tmp_path), on_bad_box="error")
