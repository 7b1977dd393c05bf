import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as vision

from ghostexp.data.augment import Augment, cut_out, random_crop_flip
from ghostexp.data.draws import Place

MEAN, STD = [0.5, 0.4, 0.3], [0.2, 0.25, 0.3]


def images_of(count: int, channels: int = 3, height: int = 8, width: int = 8) -> torch.Tensor:
    pixels = torch.randint(256, (count, height, width, channels), dtype=torch.uint8)
    return pixels.permute(0, 3, 1, 2)  # channels_last, as the loader gives them


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("channels", "height", "width"), [(3, 8, 8), (1, 6, 9)])
@pytest.mark.parametrize("padding", [0, 2])
def test_crop_and_flip_equal_torchvisions_image_by_image(channels, height, width, padding):
    images = images_of(64, channels, height, width)
    ours = random_crop_flip(images, padding=padding, flip=True, generator=generator())
    draws = generator()
    top, left = torch.randint(2 * padding + 1, (2, 64, 1), generator=draws)
    mirrored = torch.randint(2, (64, 1), generator=draws)
    for index, image in enumerate(images):
        padded = vision.pad(image, padding)
        if mirrored[index]:
            padded = vision.horizontal_flip(padded)
        reference = vision.crop(padded, int(top[index]), int(left[index]), height, width)
        assert torch.equal(ours[index], reference)


def test_every_window_and_both_sides_occur():
    image = images_of(1).expand(4000, -1, -1, -1)
    crops = random_crop_flip(image, padding=1, flip=True, generator=generator())
    seen, counts = crops.flatten(1).unique(dim=0, return_counts=True)
    assert len(seen) == 3 * 3 * 2
    assert counts.min() > 150  # of 222 expected


def test_without_flip_no_image_is_mirrored():
    image = images_of(1).expand(500, -1, -1, -1)
    crops = random_crop_flip(image, padding=1, flip=False, generator=generator())
    assert len(crops.flatten(1).unique(dim=0)) == 9


def test_evaluate_equals_torchvisions_normalise_and_is_channels_last():
    images = images_of(5)
    augment = Augment(cutout=4, mean=MEAN, std=STD)
    ours = augment.evaluate(images)
    reference = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])(images)
    torch.testing.assert_close(ours, reference)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(augment.evaluate(images.contiguous()), reference)


def test_train_is_crop_and_flip_of_evaluate_in_the_same_memory_format():
    images, labels = images_of(16), torch.arange(16)
    ours, targets = Augment(crop_padding=2, mean=MEAN, std=STD).train(images, labels, Place(0))
    crops = random_crop_flip(images, padding=2, flip=True, generator=Place(0).generator())
    torch.testing.assert_close(ours, Augment(mean=MEAN, std=STD).evaluate(crops))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(targets, labels)


def test_nothing_asked_for_is_evaluate():
    augment = Augment(crop_padding=0, flip=False, mean=MEAN, std=STD)
    images = images_of(4)
    assert torch.equal(
        augment.train(images, torch.arange(4), Place(0))[0], augment.evaluate(images)
    )


def test_an_image_is_mirrored_in_every_second_epoch():
    augment = Augment(crop_padding=0, mean=MEAN, std=STD, alternate_flips=True)
    images = images_of(400)
    plain, turned = augment.evaluate(images), augment.evaluate(images.flip(3))
    mirrored = []
    for place in (Place(3, 0), Place(3, 1), Place(3, 2), Place(4, 0)):
        order = torch.randperm(len(images))  # other batches in each epoch
        back = augment.train(images[order], order, place)[0][order.argsort()]
        same = [(back == each).flatten(1).all(1) for each in (plain, turned)]
        assert (same[0] ^ same[1]).all()
        mirrored.append(same[1])
    assert torch.equal(mirrored[0], ~mirrored[1])
    assert torch.equal(mirrored[0], mirrored[2])
    for share in (mirrored[0], mirrored[3], mirrored[0] ^ mirrored[3]):
        assert 0.4 < float(share.float().mean()) < 0.6
    with pytest.raises(ValueError, match="needs flip=true"):
        Augment(flip=False, alternate_flips=True)


@pytest.mark.parametrize("size", [5, 8, 11])
def test_training_images_are_resized_as_pillow_does_it(size):
    images = images_of(3)
    augment = Augment(crop_padding=0, flip=False, mean=MEAN, std=STD, train_size=size)
    ours, _ = augment.train(images, torch.arange(3), Place(0))
    full = augment.evaluate(images)
    assert ours.shape == (3, 3, size, size)
    for index in range(3):
        for channel in range(3):
            picture = Image.fromarray(full[index, channel].numpy())
            expected = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR))
            torch.testing.assert_close(ours[index, channel], torch.tensor(expected))
    assert torch.equal(ours, full) == (size == 8)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert full.shape == images.shape


def test_mixed_images_are_resized_too():
    mix = v2.CutMix(num_classes=2)
    augment = Augment(mean=MEAN, std=STD, mix=mix, train_size=4)
    images, targets = augment.train(images_of(2), torch.arange(2), Place(0))
    assert (images.shape, targets.shape) == ((2, 3, 4, 4), (2, 2))


@pytest.mark.parametrize("size", [3, 4])
def test_cutout_is_a_square_cut_at_the_border(size):
    images = torch.ones(2000, 3, 8, 8)
    cut_out(images, size=size, generator=generator())
    hole = images == 0
    assert torch.equal(hole.any(1), hole.all(1))  # the same in every channel
    heights, widths = hole.any(3).sum(2)[:, 0], hole.any(2).sum(2)[:, 0]
    assert torch.equal(hole[:, 0].sum((1, 2)), heights * widths)  # a rectangle
    assert int(heights.max()) == int(widths.max()) == size
    assert int(heights.min()) == int(widths.min()) == (size + 1) // 2  # its centre is inside
    assert hole.any(0).all()


def test_augmentation_follows_from_the_generator_alone():
    mix = v2.MixUp(alpha=0.2, num_classes=16)
    augment = Augment(cutout=4, mean=MEAN, std=STD, mix=mix)
    images, labels = images_of(16), torch.arange(16)
    torch.manual_seed(1)
    first = augment.train(images, labels, Place(7))
    torch.manual_seed(2)
    before = torch.get_rng_state()
    second = augment.train(images, labels, Place(7))
    third = augment.train(images, labels, Place(8))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], third[1])


@pytest.mark.parametrize("mix", [v2.MixUp, v2.CutMix])
def test_mixed_targets_are_class_shares(mix):
    augment = Augment(mean=MEAN, std=STD, mix=mix(alpha=1.0, num_classes=10))
    labels = torch.arange(10)
    images, targets = augment.train(images_of(10), labels, Place(0))
    assert images.shape == (10, 3, 8, 8)
    torch.testing.assert_close(targets.sum(1), torch.ones(10))
    share = targets[torch.arange(10), labels]
    torch.testing.assert_close(share, share[:1].expand(10))  # one share for the batch
    torch.testing.assert_close(targets[torch.arange(10), labels.roll(1)], 1 - share)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"crop_padding": -1}, "crop_padding is a whole number of pixels, not -1"),
        ({"cutout": 2.5}, "cutout is a whole number of pixels, not 2.5"),
        ({"std": [0.2, 0.2]}, "one value per channel"),
        ({"std": [0.2, 0.2, 0.0]}, "std above 0"),
    ],
)
def test_bad_arguments_are_named(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Augment(**{"mean": MEAN, "std": STD, **arguments})
