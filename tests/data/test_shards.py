"""Shards: what is packed is the folder, in the form of WebDataset; what is read is what was packed.

S3 is moto's server, which is another process with another implementation than the client's.
"""

import os
import signal
import tarfile
from collections import Counter

import fsspec
import numpy as np
import pytest
import torch
from helpers import ROOT, epoch, main_of
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.data import EpochOrder
from ghostexp.data import pack as packing
from ghostexp.data.pack import pack
from ghostexp.data.shards import draw_near

CLASSES = ("ant", "bee", "cat")
COUNTS = {"train": 20, "val": 4}
SIZE = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """48x40 photographs of noise, JPEG and PNG."""
    root = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for split, count in COUNTS.items():
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(256, size=(10, 12, 3), dtype=np.uint8)
                image = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
                image.save(root / split / name / f"{number}.{'png' if number == 1 else 'JPEG'}")
    return root


@pytest.fixture(scope="module")
def packed(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "shards"
    assert main_of("pack")([str(folder), str(out), "--shard-size", "10kB"]) == 0
    return out


def make(root, *more, choice="shards"):
    words = [f"dataset={choice}", f"dataset.root={root}", "dataset.num_classes=null"]
    words += [f"dataset.image_size={SIZE}", "dataset.batch_size=7", "dataset.files.num_workers=0"]
    cfg = compose_config([*words, *more])
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    data = build(cfg.dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_tar_files_hold_each_file_of_the_folder_once(folder, packed):
    """Read by tarfile alone; the names are WebDataset's: KEY.jpg or KEY.png beside KEY.cls."""
    found = Counter()
    for path in packed.glob("*.tar"):
        with tarfile.open(path) as tar:
            content = {member.name: tar.extractfile(member).read() for member in tar}
        keys = {name.partition(".")[0] for name in content}
        assert len(content) == 2 * len(keys)
        for key in keys:
            label = int(content.pop(f"{key}.cls"))
            (image,) = (content[name] for name in content if name.startswith(key))
            found[path.name.partition("-")[0], CLASSES[label], image] += 1
    expected = {(file.parts[-3], file.parts[-2], file.read_bytes()) for file in folder.rglob("*.*")}
    assert found == Counter(expected)


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore:Exception ignored in.*tar")  # it leaves them open
def test_webdataset_reads_them(folder, packed):
    import webdataset

    urls = sorted(map(str, packed.glob("train-*.tar")))
    samples = list(
        webdataset.WebDataset(urls, shardshuffle=False).decode("pil").to_tuple("jpg;png", "cls")
    )
    assert Counter(label for _, label in samples) == dict.fromkeys(range(3), COUNTS["train"])
    assert {image.size for image, _ in samples} == {(48, 40)}


def test_each_shard_mixes_the_classes_and_files_txt_names_the_files(folder, packed):
    lines = (packed / "files.txt").read_text().splitlines()
    assert sorted(lines) == sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*"))
    names = [line.split("/")[1] for line in lines[:60]]
    assert len({*names[:10]}) == len(CLASSES)
    for split in COUNTS:
        *full, last = sorted(packed.glob(f"{split}-*.tar"))
        assert all(path.stat().st_size >= 10_000 for path in full), last
        assert last.name == f"{split}-{len(full):06d}.tar"


def test_images_and_labels_are_those_of_the_folder(folder, packed):
    ours, theirs = make(packed), make(folder, choice="imagenet")
    assert ours.class_names == theirs.class_names == list(CLASSES)
    lines = (packed / "files.txt").read_text().splitlines()
    listed = [os.fsdecode(path) for path in theirs.labelled_set.examples.paths]
    place = torch.tensor([listed.index(str(folder / line)) for line in lines])
    everything = torch.arange(len(place))
    assert torch.equal(ours.labelled_set.labels, theirs.labelled_set.labels[place])
    assert torch.equal(ours.labelled_set.examples[everything], theirs.labelled_set.examples[place])
    assert ours.num_train == 60
    assert ours.num_test == 12


def test_the_order_follows_from_seed_and_epoch_alone(packed):
    first, again = make(packed), make(packed, "dataset.files.num_workers=2")
    torch.rand(3)
    for number in (0, 3):
        for one, other in zip(epoch(first, number), epoch(again, number), strict=True):
            assert torch.equal(one, other)
    assert not torch.equal(epoch(first, 0)[1], epoch(first, 1)[1])


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_ranks_share_an_epoch_without_doubling_or_loss(packed, world_size):
    data = make(packed, "dataset.window=2")
    draw = data._draw(data.train)
    options = {"shuffle": True, "seed": 5, "world_size": world_size, "draw": draw}
    ranks = [EpochOrder(data.train, 4, rank=rank, **options) for rank in range(world_size)]
    seen = [torch.cat(list(rank)) for rank in ranks]
    assert sorted(torch.cat(seen).tolist()) == data.train.tolist()
    alone = torch.cat(list(EpochOrder(data.train, 4, **{**options, "world_size": 1})))
    assert torch.equal(torch.stack(seen, 1).flatten(), alone)


def test_a_window_moves_over_all_shards():
    shards = torch.arange(50).repeat_interleave(200)  # 50 shards of 200 images
    order = draw_near(shards, 4, torch.arange(10_000), torch.Generator().manual_seed(0))
    assert sorted(order.tolist()) == list(range(10_000))
    drawn = shards[order]
    for start in range(0, 10_000 - 200, 200):  # while as many images are read as a shard has
        assert len(drawn[start : start + 200].unique()) <= 4 + 2
    inside = order[1000:9000] % 200  # the order within a shard is lost
    assert np.corrcoef(inside[1:], inside[:-1])[0, 1] == pytest.approx(0, abs=0.05)
    whole = draw_near(shards, 50, torch.arange(10_000), torch.Generator().manual_seed(0))
    assert len(shards[whole][5000:5200].unique()) > 40


def test_any_address_gives_the_same_batches(packed):
    memory = fsspec.filesystem("memory")
    memory.put(f"{packed}/", "/bucket/photos/", recursive=True)
    local, addressed = make(packed), make("memory://bucket/photos")
    assert local.fingerprint == addressed.fingerprint
    for loader in ("train_dataloader", "test_dataloader"):
        for one, other in zip(epoch(local, 1, loader), epoch(addressed, 1, loader), strict=True):
            assert torch.equal(one, other)
    assert torch.equal(epoch(make(f"file://{packed}"))[0], epoch(local)[0])
    memory.rm("/bucket", recursive=True)
    with pytest.raises(
        ValueError, match="shards of memory://bucket/photos cannot be read any more"
    ):
        epoch(addressed)


@pytest.fixture
def bucket(monkeypatch):
    """An address in moto's object store, for keys that mean nothing."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "nothing", "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("photos")
    yield "s3://photos/packed"
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.mark.extras
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_an_object_store_gives_the_same_batches(packed, bucket):
    import s3fs

    s3fs.S3FileSystem().put(f"{packed}/", f"{bucket}/", recursive=True)
    local = epoch(make(packed), 2)
    for workers in (0, 2):
        stored = epoch(make(bucket, f"dataset.files.num_workers={workers}"), 2)
        assert torch.equal(stored[0], local[0])
        assert torch.equal(stored[1], local[1])
    with pytest.raises(ValueError, match="s3://photos/other holds no index.json"):
        make("s3://photos/other")


def test_val_split_folds_and_samplers(packed):
    split = make(packed, "dataset.val_split=0.2")
    assert split.labelled_set.labels[split.val].bincount().tolist() == [4, 4, 4]
    assert sorted([*split.train.tolist(), *split.val.tolist()]) == list(range(60))
    fold = make(packed, "dataset.folds=4", "dataset.fold=1")
    assert fold.labelled_set.labels[fold.val].bincount().tolist() == [5, 5, 5]
    balanced = make(packed, "dataset.sampler=balanced", "dataset.window=null")
    assert len(epoch(balanced)[1]) == 60
    with pytest.raises(UserError, match="sampler=balanced draws from all shards at once"):
        make(packed, "dataset.sampler=balanced")


def copied(packed, tmp_path):
    for path in packed.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("root", "sentence"),
    [
        ("nowhere", "nowhere holds no index.json: make shards with `ghostexp pack FOLDER OUT`"),
        ("memory://nowhere", "memory://nowhere holds no index.json"),
        ("nosuch://x", "nosuch://x cannot be read: Protocol not known: nosuch"),
        ("gs://bucket/x", "gs://bucket/x cannot be read: .*gcsfs"),
    ],
)
def test_addresses_without_shards_are_named(root, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(root)


def test_damaged_shards_are_named_before_the_training(packed, tmp_path):
    root = copied(packed, tmp_path)
    shard = root / "train-000001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-512])
    with pytest.raises(
        ValueError, match=r"train-000001.tar is \d+ bytes long, and index.json says"
    ):
        make(root)
    shard.unlink()
    with pytest.raises(ValueError, match="train-000001.tar is missing"):
        make(root)
    shard.write_bytes(whole)
    table = (root / "samples.npy").read_bytes()
    (root / "samples.npy").write_bytes(table[:-3] + b"abc")
    with pytest.raises(ValueError, match="samples.npy is not the file that index.json describes"):
        make(root)
    (root / "samples.npy").write_bytes(table[:50])
    with pytest.raises(ValueError, match="samples.npy is damaged"):
        make(root)
    (root / "index.json").write_text("{}")
    with pytest.raises(ValueError, match="index.json is no index of shards"):
        make(root)


def test_a_broken_image_is_named_when_it_is_read(packed, tmp_path):
    root = copied(packed, tmp_path)
    data = make(root)
    sample = data.labelled_set.examples.index.samples[0]
    with (root / "train-000000.tar").open("r+b") as file:
        file.seek(int(sample["offset"]))
        file.write(bytes(100))
    with pytest.raises(ValueError, match=r"image 00000000 of .*train-000000.tar \(line 1 of"):
        data.labelled_set.examples[torch.tensor([0])]


def test_what_cannot_be_packed_is_refused(folder, packed, tmp_path, capsys):
    def said(*words):
        assert main_of("pack")([str(word) for word in words]) == 1
        return capsys.readouterr().err

    assert "exists already: name a new folder" in said(folder, packed)
    assert "nowhere is no folder" in said(tmp_path / "nowhere", tmp_path / "out")
    assert "lies in the folder that is packed" in said(folder, folder / "out")
    for split in ("train", "val"):
        (tmp_path / "in" / split / "ant").mkdir(parents=True)
        (tmp_path / "in" / split / "ant" / "a.jpg").write_bytes(b"no image")
    assert "a.jpg cannot be read as an image" in said(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(SystemExit):
        main_of("pack")([str(folder), str(tmp_path / "out"), "--shard-size", "many"])
    assert "must be a size such as 256MB" in capsys.readouterr().err


def test_a_killed_pack_leaves_nothing_that_looks_finished(folder, tmp_path):
    """It is killed while it writes its second shard; the next pack makes what the first would."""
    out = tmp_path / "shards"
    write = packing._write_shard

    def killed(path, *rest):
        if "000001" in path.name:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(path, *rest)

    child = os.fork()
    if not child:
        packing._write_shard = killed
        pack(folder, out, shard_size=10_000, seed=0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert (tmp_path / ".shards.packing" / "train-000000.tar").exists()
    assert not out.exists()
    pack(folder, out, shard_size=10_000, seed=0)
    whole = tmp_path / "whole"
    pack(folder, whole, shard_size=10_000, seed=0)
    contents = [{path.name: path.read_bytes() for path in each.iterdir()} for each in (out, whole)]
    assert contents[0] == contents[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shards", "whole"]
