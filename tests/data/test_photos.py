"""Photos with an EXIF orientation: boxes lie on their object whichever way they were drawn."""

import json
import logging

import numpy as np
import pytest
from PIL import Image, ImageOps

from ghostexp.data import CocoFiles, Reading, coco_json, photos
from ghostexp.data.photos import Photo, read_photos

STORED = (60, 40)
BOX = [5, 5, 20, 15]  # of the stored pixels: left, top, width, height


def write_photo(path, orientation, size=STORED):
    """A dark photo with a bright box."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, width, height = BOX
    pixels[top : top + height, left : left + width] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels)
    image.save(path, exif=exif)
    return image, exif


def turned_box(image, exif):
    """The bright box after viewers have turned the photo."""
    turned = image.copy()
    turned.info["exif"] = exif.tobytes()
    rows, columns = np.array(ImageOps.exif_transpose(turned))[..., 0].nonzero()
    left, top = int(columns.min()), int(rows.min())
    return [left, top, int(columns.max()) + 1 - left, int(rows.max()) + 1 - top]


def write_set(root, size, box):
    entries = [{"id": n, "file_name": f"{n}.png", **size} for n in range(5)]
    annotations = [
        {"id": n, "image_id": n, "category_id": 1, "bbox": box} for n in range(len(entries))
    ]
    content = {"images": entries, "annotations": annotations}
    (root / "all.json").write_text(json.dumps(content | {"categories": [{"id": 1, "name": "a"}]}))


def loaded(root, **reading):
    data = coco_json(
        str(root), files=CocoFiles(images="."), reading=Reading(num_workers=0, **reading), seed=0
    )
    data.prepare_data()
    return data


def bright(image):
    rows, columns = (image[0] > 0.5).nonzero().unbind(dim=1)
    corners = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return [float(value) for value in corners]


def assert_boxes_on_their_objects(data):
    for loader in (data.train_dataloader(), data.test_dataloader()):
        for images, targets in loader:
            for image, target in zip(images, targets, strict=True):
                assert target["boxes"].tolist() == [bright(image)]
                assert target["size"].tolist() == list(image.shape[1:])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize("in_memory", [True, False])
def test_the_annotated_size_decides(tmp_path, caplog, orientation, exif, in_memory):
    for number in range(5):
        image, tags = write_photo(tmp_path / f"{number}.png", orientation)
    by_size = orientation >= 5  # a quarter turn exchanges width and height
    drawn_on_the_turned = {"apply": True, "ignore": False}[exif] if not by_size else True
    ways = [drawn_on_the_turned] if not by_size else [True, False]
    for turned in ways:
        caplog.clear()
        size = STORED[::-1] if turned and by_size else STORED
        box = turned_box(image, tags) if turned else BOX
        write_set(tmp_path, {"width": size[0], "height": size[1]}, box)
        with caplog.at_level(logging.INFO):
            data = loaded(tmp_path, exif=exif, in_memory=in_memory)
        assert_boxes_on_their_objects(data)
        if by_size:
            sentence = "turned by their EXIF orientation" if turned else "despite their EXIF"
            assert f"5 images of {tmp_path / 'all.json'} " in caplog.text
            assert sentence in caplog.text
        else:
            assert ("reading.exif=" in caplog.text) == (orientation > 1)


@pytest.mark.parametrize("exif", ["apply", "ignore"])
@pytest.mark.parametrize("size", [{"width": 50, "height": 50}, {}])
def test_where_the_size_does_not_tell_the_option_decides(tmp_path, caplog, exif, size):
    for number in range(5):
        stored = (50, 50) if size else STORED
        image, tags = write_photo(tmp_path / f"{number}.png", 6, stored)
    write_set(tmp_path, size, turned_box(image, tags) if exif == "apply" else BOX)
    assert_boxes_on_their_objects(loaded(tmp_path, exif=exif))
    (message,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert message.startswith("5 images of")
    way, other = ("turned", "ignore") if exif == "apply" else ("stored", "apply")
    assert f"the {way} image is taken, and reading.exif={other} takes the other" in message
    assert f"{tmp_path / '0.png'}, " in message


@pytest.mark.parametrize("turned", [True, False])
def test_other_photos_tell_where_a_size_does_not(tmp_path, caplog, turned):
    """Whoever drew boxes on stored photos did so on square ones, too."""
    boxes, sizes = [], []
    for number in range(5):
        stored = (50, 50) if number == 2 else STORED
        image, tags = write_photo(tmp_path / f"{number}.png", 8, stored)
        boxes.append(turned_box(image, tags) if turned else BOX)
        sizes.append(stored[::-1] if turned else stored)
    write_set(tmp_path, {}, BOX)
    content = json.loads((tmp_path / "all.json").read_text())
    for entry, note, box, size in zip(
        content["images"], content["annotations"], boxes, sizes, strict=True
    ):
        entry |= {"width": size[0], "height": size[1]}
        note["bbox"] = box
    (tmp_path / "all.json").write_text(json.dumps(content))
    data = loaded(tmp_path)
    assert_boxes_on_their_objects(data)
    assert {r.upright for r in (*data.train, *data.records("test").values())} == {turned}
    (message,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert message.startswith("1 images of")
    assert f"the {'turned' if turned else 'stored'} image is taken" in message


def test_any_file_is_read_the_same_way(tmp_path):
    for number in range(5):
        write_photo(tmp_path / f"{number}.png", 6)
    write_set(tmp_path, {}, BOX)
    for exif, size in (("apply", (40, 60)), ("ignore", (60, 40))):
        image, found = loaded(tmp_path, exif=exif).load_file(tmp_path / "0.png")
        assert found == size
        assert image.shape == (3, size[1], size[0])


def test_a_size_that_fits_neither_way_names_exif(tmp_path):
    for number in range(5):
        write_photo(tmp_path / f"{number}.png", 6)
    write_set(tmp_path, {"width": 61, "height": 40}, BOX)
    sentence = (
        r"5 of 5 images .* the first is .*0\.png: 60x40 pixels \(40x60 by its EXIF orientation\),"
        " annotated as 61x40"
    )
    with pytest.raises(ValueError, match=sentence):
        loaded(tmp_path)
    with pytest.raises(ValueError, match="exif is apply, ignore or null, not turn"):
        Reading(exif="turn")


def test_headers_of_many_files_are_read_once(tmp_path, monkeypatch):
    files = [tmp_path / "a" / "0.png", tmp_path / "b" / "1.jpg"]
    for file in files:
        write_photo(file, 8)
    monkeypatch.setattr(photos, "WORTH_A_CACHE", 2)
    found = read_photos(files)
    assert found == [Photo(STORED, 8)] * 2
    assert found[0].upright == (40, 60)
    monkeypatch.setattr(photos, "_read_headers", None)
    assert read_photos(files) == found
    assert len(list((tmp_path / ".ghostexp").glob("headers-*.pt"))) == 1


def test_a_header_is_enough(tmp_path):
    """Sizes of a large set are known without decoding its images."""
    write_photo(tmp_path / "whole.jpg", 6)
    content = (tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[:-20])
    assert read_photos([tmp_path / "cut.jpg"]) == [Photo(STORED, 6)]
