import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ghostexp.data import folder
from ghostexp.data.file_set import FileSet
from ghostexp.data.folder import ImageFiles, has_colours, load_folder, load_image
from ghostexp.data.in_memory import InMemory
from ghostexp.data.tree import scan


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
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4).examples
    return images[torch.arange(len(images))][:, 0, 0, 0].long()


def test_split_folders_become_index_sets(tmp_path):
    root = write_tree(tmp_path, {"train": 5, "val": 3, "test": 2})
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
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
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    assert images.labels[images.test].bincount().tolist() == [2, 2]
    assert sorted(images.train.tolist() + images.test.tolist()) == list(range(20))
    assert len(images.val) == 0


def test_grey_images_and_other_files_and_hidden_folders(tmp_path):
    root = write_tree(tmp_path, {"train": 3, "test": 1})
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    (root / "train" / ".hidden").mkdir()
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=1, image_size=4)
    assert len(images.examples) == 8
    assert images.examples[torch.tensor([1])].shape == (1, 1, 4, 4)


@pytest.mark.parametrize(
    "suffix",
    ["jpg", "JPEG", "jfif", "bmp", "webp", "ppm", "tif", "TIFF", "gif", "avif", "png", "tga"],
)
def test_every_ending_is_read(tmp_path, suffix):
    write_images(tmp_path / "cat", 1, shade=90, suffix=suffix)
    path = scan(tmp_path, folder.EXTENSIONS).paths[0]
    assert (load_image(path, 3, 6).long() - 90).abs().max() <= 1


def test_endings_are_those_that_pillow_decodes():
    assert {".jpg", ".tif", ".avif"} < folder.EXTENSIONS
    for foreign in (".pdf", ".eps", ".mpg", ".h5", ".wmf", ".txt", ".xml"):
        assert foreign not in folder.EXTENSIONS


SYSTEM = [
    "train/cat/.ipynb_checkpoints/00-checkpoint.png",
    "train/cat/@eaDir/00.png/SYNOPHOTO_THUMB_S.png",
    "train/dog/.Trash-1000/files/00.png",
    "train/dog/._00.png",
    "train/dog/.DS_Store",
    "train/dog/Thumbs.db",
    "train/__MACOSX/cat/._00.png",
    "train/.git/config",
    "__MACOSX/train/cat/00.png",
]


def test_hidden_and_system_files_are_no_data_and_are_counted(tmp_path, caplog):
    root = write_tree(tmp_path, {"train": 5, "test": 2})
    expected = scan(root, folder.EXTENSIONS)
    for name in SYSTEM:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes((root / "train/cat/00.png").read_bytes())
    (root / "train/cat/notes.txt").write_text("no image")
    (root / "train/dog/clip.MPG").write_text("no image")
    (root / "train/LICENSE").write_text("no image")
    (root / "unlabelled").mkdir()
    with caplog.at_level(logging.INFO):
        assert scan(root, folder.EXTENSIONS) == expected
    (message,) = caplog.messages
    assert message.startswith(f"left out of {root}: 9 hidden or system names (2 __MACOSX, ")
    assert "4 others, which are not read (" in message
    caplog.clear()
    (root / "train/cat/notes.txt").rename(root / "train/cat/99.png")  # it has been text so far
    assert scan(root, folder.EXTENSIONS).counts["train"] == 11


def test_a_hidden_folder_above_the_root_does_not_matter(tmp_path):
    root = write_tree(tmp_path / ".cache" / "@eaDir", {"train": 5})
    assert len(scan(root, folder.EXTENSIONS).paths) == 10


def test_links_to_folders_are_followed(tmp_path):
    root = write_tree(tmp_path / "data", {"train": 5})
    write_images(tmp_path / "more", 3)
    (root / "train/cat/more").symlink_to(tmp_path / "more")
    assert scan(root, folder.EXTENSIONS).counts == {"train": 13}


def test_a_class_may_lack_test_images_which_is_named(tmp_path, caplog):
    root = write_tree(tmp_path, {"train": 3, "test": 2})
    write_images(root / "train" / "gnu", 3)
    (root / "test" / "gnu").mkdir()
    write_images(root / "train" / "yak", 3)
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    assert images.class_names == ["cat", "dog", "gnu", "yak"]
    assert images.labels[images.test].bincount(minlength=4).tolist() == [2, 2, 0, 0]
    assert "test has no file of the classes gnu, yak: its accuracy says nothing" in caplog.text
    write_images(root / "test" / "emu", 1)
    with pytest.raises(ValueError, match="test has the class folder emu, which .*train lacks"):
        scan(root, folder.EXTENSIONS)


def test_a_class_of_one_image_is_trained_on_and_named(tmp_path, caplog):
    root = write_tree(tmp_path, {".": 5})
    write_images(root / "gnu", 1)
    images = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    assert images.labels[images.test].bincount(minlength=3).tolist() == [1, 1, 0]
    assert "nothing is held out of gnu" in caplog.text


def test_validation_folders_have_three_names(tmp_path):
    root = write_tree(tmp_path, {"train": 3, "valid": 2, "test": 1})
    assert scan(root, folder.EXTENSIONS).counts == {"train": 6, "val": 4, "test": 2}
    write_tree(tmp_path, {"val": 1})
    with pytest.raises(ValueError, match="two validation folders, val and valid"):
        scan(root, folder.EXTENSIONS)


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


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", False), ("L", False), ("LA", False), ("P", True), ("RGB", True), ("RGBA", True)],
)
def test_the_header_says_whether_an_image_has_colours(tmp_path, mode, expected):
    Image.new(mode, (4, 4)).save(tmp_path / "a.png")
    assert has_colours(tmp_path / "a.png") == expected


def test_what_is_no_image_has_no_colours(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    assert not has_colours(tmp_path / "a.png")
    assert not has_colours(tmp_path / "missing.png")


def test_corrupt_image_is_named(tmp_path):
    root = write_tree(tmp_path, {"train": 3})
    whole = (root / "train" / "dog" / "01.png").read_bytes()
    (root / "train" / "dog" / "01.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"dog.01\.png cannot be read as an image"):
        load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    assert not (root / ".ghostexp").exists()


def test_sixteen_bit_image_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 40000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png .* more than 8 bits per channel"):
        load_image(tmp_path / "deep.png", 1, 4)


@pytest.mark.parametrize(
    ("folders", "sentence"),
    [
        ([], "has no class folders"),
        (["test/cat"], "has a folder test, but no train"),
        (["train/cat"], "class folder .*cat holds no file that can be read"),
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

    def full(pixels, file):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full)
    assert len(shades(root)) == 10
    assert list((root / ".ghostexp").iterdir()) == []
    assert "cannot be written" in caplog.text


def test_one_process_reads_per_core_that_may_be_used(tmp_path, one_core):
    root = write_tree(tmp_path, {"train": 5})
    paths = sorted(root.rglob("*.png"))
    assert ImageFiles(paths, read=load_image).num_workers == 1
    assert ImageFiles(paths, read=load_image, num_workers=3).num_workers == 3


def test_set_too_large_for_memory_stays_in_its_files(tmp_path, monkeypatch):
    root = write_tree(tmp_path, {"train": 5})
    in_memory = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    monkeypatch.setattr(folder, "MAX_BYTES_IN_MEMORY", 10 * 3 * 4 * 4 - 1)
    on_disk = load_folder(FileSet(root, folder.EXTENSIONS), in_channels=3, image_size=4)
    assert isinstance(in_memory.examples, InMemory)
    assert isinstance(on_disk.examples, ImageFiles)
    indices = torch.tensor([7, 0, 3])
    assert torch.equal(in_memory.examples[indices], on_disk.examples[indices])
