import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ghostexp.data import folder
from ghostexp.data.files import scan
from ghostexp.data.folder import ImageFiles, load_folder, load_image
from ghostexp.data.in_memory import InMemory


def write_images(place: Path, count: int, shade: int = 0, suffix: str = "png") -> None:
    """Plain images whose shade is `shade` + their number."""
    place.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (6, 6), (shade + number,) * 3).save(place / f"{number:02}.{suffix}")


def write_tree(root: Path, splits: dict[str, int]) -> Path:
    for part, (split, count) in enumerate(splits.items()):
        for label, name in enumerate(("cat", "dog")):
            write_images(root / split / name, count, shade=100 * label + 30 * part)
    return root


def shades(root: Path) -> torch.Tensor:
    images = load_folder(root, in_channels=3, image_size=4).examples
    return images[torch.arange(len(images))][:, 0, 0, 0].long()


def test_split_folders_become_index_sets(tmp_path):
    root = write_tree(tmp_path, {"train": 5, "val": 3, "test": 2})
    images = load_folder(root, in_channels=3, image_size=4)
    assert images.class_names == ["cat", "dog"]
    assert [len(part) for part in (images.train, images.val, images.test)] == [10, 6, 4]
    everything = images.examples[torch.arange(20)]
    assert everything.shape == (20, 3, 4, 4)
    assert everything.dtype == torch.uint8
    first = everything[:, 0, 0, 0].long()
    assert first[images.val].tolist() == [30, 31, 32, 130, 131, 132]
    assert torch.equal(images.labels, (first >= 100).long())


@pytest.mark.parametrize("split", ["train", "."])
def test_without_test_folder_a_fifth_of_each_class_is_held_out(tmp_path, split):
    root = write_tree(tmp_path, {split: 10})
    images = load_folder(root, in_channels=3, image_size=4)
    assert images.labels[images.test].bincount().tolist() == [2, 2]
    assert sorted(images.train.tolist() + images.test.tolist()) == list(range(20))
    assert len(images.val) == 0


def test_grey_images_and_other_files_and_hidden_folders(tmp_path):
    root = write_tree(tmp_path, {"train": 3, "test": 1})
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    images = load_folder(root, in_channels=1, image_size=4)
    assert len(images.examples) == 8
    assert images.examples[torch.tensor([1])].shape == (1, 1, 4, 4)


@pytest.mark.parametrize("suffix", ["jpg", "JPEG", "bmp", "webp", "ppm"])
def test_every_ending_is_read(tmp_path, suffix):
    write_images(tmp_path / "cat", 1, shade=90, suffix=suffix)
    path = scan(tmp_path, folder.EXTENSIONS).paths[0]
    assert (load_image(path, 3, 6).long() - 90).abs().max() <= 1


def test_load_image_takes_the_centre_square(tmp_path):
    wide = np.zeros((4, 8, 3), dtype=np.uint8)
    wide[:, 2:6] = [10, 20, 30]
    Image.fromarray(wide).save(tmp_path / "wide.png")
    image = load_image(tmp_path / "wide.png", 3, 4)
    assert torch.equal(image, torch.tensor([10, 20, 30]).view(3, 1, 1).expand(3, 4, 4).byte())


def test_load_image_of_its_size_is_what_pillow_reads(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(5, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(load_image(tmp_path / "a.png", 3, 5).permute(1, 2, 0).numpy(), pixels)


def test_load_image_turns_photographs_upright(tmp_path):
    image = Image.fromarray(np.array([[10, 20], [30, 40]], dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    assert load_image(tmp_path / "turned.png", 1, 2)[0].tolist() == [[30, 10], [40, 20]]


def test_corrupt_image_is_named(tmp_path):
    root = write_tree(tmp_path, {"train": 3})
    whole = (root / "train" / "dog" / "01.png").read_bytes()
    (root / "train" / "dog" / "01.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"dog.01\.png cannot be read as an image"):
        load_folder(root, in_channels=3, image_size=4)
    assert not (root / ".ghostexp").exists()


def test_sixteen_bit_image_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png .* more than 8 bits a channel"):
        load_image(tmp_path / "deep.png", 1, 4)


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ([], "has no class folders"),
        (["test/cat"], "has a folder test, but no train"),
        (["train/cat", "train/dog", "test/cat"], "differ in their class folders: dog is in one"),
        (["train/cat"], "class folder .*cat holds no file"),
    ],
)
def test_bad_trees_are_named(tmp_path, folders, sentence):
    for name in folders:
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(ValueError, match=sentence):
        scan(tmp_path, folder.EXTENSIONS)


def test_second_load_decodes_nothing(tmp_path, monkeypatch):
    root = write_tree(tmp_path, {"train": 5})
    first = shades(root)
    monkeypatch.setattr(folder, "decode", None)
    assert torch.equal(shades(root), first)
    assert [path.suffix for path in (root / ".ghostexp").iterdir()] == [".pt"]


def test_changed_content_is_decoded_again(tmp_path):
    root = write_tree(tmp_path, {"train": 5})
    before = shades(root)
    path = root / "train" / "cat" / "00.png"
    Image.new("RGB", (6, 6), (77, 77, 77)).save(path)
    os.utime(path, ns=(1, 1))
    after = shades(root)
    assert after[0] == 77
    assert torch.equal(after[1:], before[1:])
    write_images(root / "train" / "cat", 6)
    assert len(shades(root)) == 11


@pytest.mark.parametrize("left", [0, 100, 700])
def test_truncated_cache_is_rebuilt(tmp_path, left):
    root = write_tree(tmp_path, {"train": 5})
    before = shades(root)
    (cache,) = (root / ".ghostexp").iterdir()
    whole = cache.read_bytes()
    cache.write_bytes(whole[:left])
    assert torch.equal(shades(root), before)
    assert len(cache.read_bytes()) == len(whole)


def test_read_only_root_is_cached_in_the_users_folder(tmp_path, monkeypatch):
    root = write_tree(tmp_path / "data", {"train": 5})
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != root)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    shades(root)
    assert not (root / ".ghostexp").exists()
    assert len(list((tmp_path / "cache" / "ghostexp").glob("*.pt"))) == 1


def test_full_disk_costs_the_cache_only(tmp_path, monkeypatch, caplog):
    root = write_tree(tmp_path, {"train": 5})

    def full(pixels, path):
        path.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert len(shades(root)) == 10
    assert list((root / ".ghostexp").iterdir()) == []
    assert "cannot be written" in caplog.text


def test_set_too_large_for_memory_stays_in_its_files(tmp_path, monkeypatch):
    root = write_tree(tmp_path, {"train": 5})
    in_memory = load_folder(root, in_channels=3, image_size=4)
    monkeypatch.setattr(folder, "MAX_BYTES_IN_MEMORY", 10 * 3 * 4 * 4 - 1)
    on_disk = load_folder(root, in_channels=3, image_size=4)
    assert isinstance(in_memory.examples, InMemory)
    assert isinstance(on_disk.examples, ImageFiles)
    indices = torch.tensor([7, 0, 3])
    assert torch.equal(in_memory.examples[indices], on_disk.examples[indices])
