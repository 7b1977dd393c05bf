"""A part of a JPEG by libjpeg-turbo, beside the same part by Pillow and torchvision."""

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from ghostexp.data import jpeg
from ghostexp.data.folder import BadFile, open_image
from ghostexp.data.transformed import read_transformed

pytest.importorskip("simplejpeg")
SIZE = 64
# Mean absolute difference to Pillow's full decode, in levels of 255: 0.3 at most at full scale, for
# rounding, and 1.0 at most where the photo is decoded smaller; the mean of the differences, which
# shows a bias, is 0.1 at most. A photo's pixels have a standard deviation of about 55.
BOUNDS = {(160, 120): 0.3, (700, 500): 1.0, (1500, 1100): 1.0}


def photo(width, height, seed=0):
    """Smooth colours, edges and grain, which have a photo's spectrum more or less."""
    generator = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128.0)
    for cells, contrast in ((3, 60), (12, 40), (60, 15)):
        noise = generator.normal(size=(cells, cells, 3)).clip(-2, 2) * 63 + 128
        grown = Image.fromarray(noise.astype(np.uint8)).resize((width, height), Image.BICUBIC)
        pixels += (np.asarray(grown) - 128.0) * contrast / 63
    pixels[height // 3 : height // 2, width // 4 : width // 2] = (220, 30, 60)
    pixels += generator.normal(size=(height, width, 1)) * 4
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def saved(image, form="JPEG", **options):
    file = BytesIO()
    image.save(file, form, **options)
    return file


def parts(file, monkeypatch, count=25, crop=None, in_channels=3):
    """The same random parts read by libjpeg-turbo, and by Pillow and torchvision: [count, ...]."""
    crop = crop or v2.RandomResizedCrop(SIZE)
    both = []
    for decoder in (jpeg.decoder(), None):
        with monkeypatch.context() as patch:
            patch.setattr(jpeg, "decoder", lambda decoder=decoder: decoder)
            images = []
            for seed in range(count):
                torch.manual_seed(seed)
                image = read_transformed(file, [crop], in_channels=in_channels, image_size=SIZE)
                images.append(image.float())
            both.append(torch.stack(images))
    return both


@pytest.mark.parametrize("size", BOUNDS)
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_pixels_are_those_of_a_full_decode(monkeypatch, size, mode):
    file = saved(photo(*size).convert(mode), quality=92)
    ours, theirs = parts(file, monkeypatch, in_channels=1 if mode == "L" else 3)
    differences = ours - theirs
    assert differences.abs().mean((1, 2, 3)).max() <= BOUNDS[size]
    assert differences.mean().abs() <= 0.1
    assert theirs.std() > 30


def test_bicubic_and_other_sizes(monkeypatch):
    file = saved(photo(160, 120), quality=92)
    crop = v2.RandomResizedCrop(SIZE, scale=(0.5, 1), interpolation=v2.InterpolationMode.BICUBIC)
    ours, theirs = parts(file, monkeypatch, crop=crop)
    assert (ours - theirs).abs().mean((1, 2, 3)).max() <= BOUNDS[160, 120]


def test_the_part_is_drawn_on_the_true_size_and_decoded_no_larger_than_needed(monkeypatch):
    asked = []
    decode = jpeg.decoder().decode_jpeg

    class Watched:
        @staticmethod
        def decode_jpeg(data, **options):
            pixels = decode(data, **options)
            asked.append(pixels.shape[:2])
            return pixels

    monkeypatch.setattr(jpeg, "decoder", lambda: Watched)
    file = saved(photo(1500, 1100))
    for share, scale in ((0.3, 8), (0.1, 4), (0.02, 2), (0.005, 1)):
        crop = v2.RandomResizedCrop(SIZE, scale=(share, share), ratio=(1, 1))
        jpeg.read_part(file, [crop], 3)
        assert asked[-1] == (-(-1100 // scale), -(-1500 // scale))


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("WEBP", {}),
        ("JPEG", {"exif": {0x0112: 6}}),
        ("JPEG", {"mode": "CMYK"}),
    ],
    ids=str,
)
def test_what_is_left_to_pillow(monkeypatch, form, options):
    image = photo(100, 80).convert(options.get("mode", "RGB"))
    exif = Image.Exif()
    exif.update(options.get("exif", {}))
    file = saved(image, form, exif=exif)
    crop = v2.RandomResizedCrop(SIZE)
    assert jpeg.read_part(file, [crop], 3) is None
    ours, theirs = parts(file, monkeypatch, count=3)
    assert torch.equal(ours, theirs)


def test_other_transforms_are_left_to_pillow_and_those_behind_the_part_get_an_image():
    file = saved(photo(100, 80))
    assert jpeg.read_part(file, [v2.CenterCrop(SIZE)], 3) is None
    assert jpeg.read_part(file, [], 3) is None
    modes = []

    def seen(image):
        modes.append((image.mode, image.size))
        return image

    transforms = [v2.RandomResizedCrop(SIZE), seen]
    for channels in (1, 3):
        read_transformed(file, transforms, in_channels=channels, image_size=SIZE)
    assert modes == [("L", (SIZE, SIZE)), ("RGB", (SIZE, SIZE))]


def test_a_damaged_jpeg_is_pillows_to_judge(monkeypatch):
    """Pillow refuses what ends too early, and reads what only has a stray byte."""
    content = saved(photo(160, 120)).getvalue()
    with pytest.raises(BadFile, match="cannot be read as an image"):
        read_transformed(
            BytesIO(content[:-2000]), [v2.RandomResizedCrop(SIZE)], in_channels=3, image_size=SIZE
        )
    stray = BytesIO(content[:-2] + b"\0\0" + content[-2:])
    open_image(stray, 3)
    ours, theirs = parts(stray, monkeypatch, count=3)
    assert (ours - theirs).abs().mean() <= BOUNDS[160, 120]
