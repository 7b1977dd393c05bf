import math

import numpy as np
import pytest
import torch

from ghostexp.data import shapes
from ghostexp.data.shapes import CLASS_NAMES, draw, load_shapes, render


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(shapes, "COUNTS", {"train": 24, "val": 6, "test": 6})


def test_boxes_are_exact(monkeypatch):
    """Without noise every pixel that differs from the background lies in one box, and fills it."""
    monkeypatch.setattr(shapes, "NOISE", 0)
    generator = np.random.default_rng(1)
    numbers = set()
    for _ in range(40):
        image, objects = render(generator, 48, 64)
        numbers.add(len(objects))
        corner = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        differs = (image != np.median(corner, axis=0)).any(axis=2)
        covered = np.zeros_like(differs)
        for (left, top, right, bottom), _, area, iscrowd in objects:
            inside = differs[top:bottom, left:right]
            assert inside[0].any()
            assert inside[-1].any()
            assert inside[:, 0].any()
            assert inside[:, -1].any()
            assert (inside.sum(), iscrowd) == (area, False)
            assert not covered[top:bottom, left:right].any()
            covered[top:bottom, left:right] = True
        assert not differs[~covered].any()
    assert numbers == {0, 1, 2, 3, 4}


def test_shapes_have_the_area_of_their_kind():
    side = 40.0
    areas = [draw(label, (32, 32), side, (64, 64)).sum() for label in (1, 2, 3)]
    expected = [math.pi / 4 * side**2, side**2, side**2 / 2]
    assert np.allclose(areas, expected, rtol=0.03)


def test_shapes_stand_out_in_every_channel(monkeypatch):
    monkeypatch.setattr(shapes, "NOISE", 0)
    generator = np.random.default_rng(2)
    for _ in range(20):
        image, objects = render(generator, 32, 32)
        colours = np.unique(image.reshape(-1, 3), axis=0).astype(int)
        background = np.median(image.reshape(-1, 3), axis=0)
        others = colours[(colours != background).any(axis=1)]
        assert len(others) <= len(objects)
        assert (np.abs(others - background) >= shapes.CONTRAST - 1).all()


@pytest.mark.usefixtures("few")
def test_splits_are_the_same_each_time_and_share_no_image():
    first, second = load_shapes((32, 48)), load_shapes((32, 48))
    assert first.class_names == CLASS_NAMES
    records = [*first.train, *first.val, *first.test]
    assert [record.image_id for record in records] == list(range(36))
    assert {record.file for record in records} == set(first.pixels)
    assert {(record.width, record.height) for record in records} == {(48, 32)}
    for record, again in zip(records, [*second.train, *second.val, *second.test], strict=True):
        assert np.array_equal(record.boxes, again.boxes)
        assert torch.equal(first.pixels[record.file], second.pixels[again.file])
    images = torch.stack(list(first.pixels.values()))
    assert (images.shape, images.dtype) == ((36, 3, 32, 48), torch.uint8)
    assert len(images.flatten(1).unique(dim=0)) == 36


@pytest.mark.usefixtures("few")
def test_every_class_is_there_and_some_images_show_nothing():
    found = load_shapes((32, 32))
    labels = np.concatenate([record.labels for record in found.train])
    assert set(labels.tolist()) == {1, 2, 3}
    assert any(len(record.labels) == 0 for record in found.train)
