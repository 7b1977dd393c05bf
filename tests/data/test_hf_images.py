"""Data sets of the library `datasets`: local parquet, local images, and no network."""

import io

import numpy as np
import pytest
import torch
from helpers import ROOT, SMALL, result
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.data import hf_images
from ghostexp.download import offline

datasets = pytest.importorskip("datasets")
huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.extras


@pytest.fixture(autouse=True)
def _cache(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def png(shade: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (shade,) * 3).save(file, "PNG")
    return file.getvalue()


def write_parquet(path, shades, labels, features=None, **columns):
    images = [{"bytes": png(shade), "path": None} for shade in shades]
    table = {"image": images, "label": labels, **columns}
    datasets.Dataset.from_dict(table, features=features).to_parquet(path)
    return path


def ready(*words):
    cfg = compose_config(["dataset=hf", "dataset.image_size=8", *words])
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    complete_facts(cfg)
    data = build(cfg.dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    return data


def shades_of(data, indices) -> list[int]:
    return data.labelled_set.examples[indices][:, 0, 0, 0].tolist()


def test_a_parquet_file_of_numbers_without_names(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", range(20), [10, 2] * 10)
    with pytest.raises(
        ValueError, match=r"has no split test: .*of train, or dataset.splits.test=n"
    ):
        ready(f"dataset.path={path}")
    data = ready(f"dataset.path={path}", "dataset.splits.test=null", "dataset.val_split=0.2")
    assert data.class_names == ["2", "10"]  # by value, not by letter
    everything = torch.arange(20)
    assert shades_of(data, everything) == list(range(20))
    assert data.labelled_set.labels.tolist() == [1, 0] * 10
    assert data.labelled_set.labels[data.labelled_set.test].bincount().tolist() == [2, 2]
    assert len(data.val) == 4


def test_a_folder_of_parquet_files_with_names_and_groups(tmp_path, caplog):
    names = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=["dog", "cat"]),
            "patient": datasets.Value("string"),
        }
    )
    for split, count in (("train", 12), ("validation", 4), ("test", 4)):
        patients = [f"{split}{number // 2}" for number in range(count)]
        file = tmp_path / "data" / f"{split}.parquet"
        file.parent.mkdir(exist_ok=True)
        write_parquet(file, range(count), [0, 1] * (count // 2), names, patient=patients)
    words = [f"dataset.path={tmp_path / 'data'}", "dataset.columns.group=patient"]
    data = ready(*words, "dataset.splits.val=validation")
    assert data.class_names == ["dog", "cat"]  # in the order of the data
    parts = (data.train, data.val, data.labelled_set.test)
    assert [len(part) for part in parts] == [12, 4, 4]
    assert shades_of(data, data.val) == [0, 1, 2, 3]
    assert "not used" not in caplog.text
    fold = ready(*words, "dataset.folds=3", "dataset.fold=2")
    assert "has the splits validation, which are not used" in caplog.text
    assert fold.fold_facts["fold_part"] == "val"
    patients = [set((part // 2).tolist()) for part in (fold.train, fold.val)]
    assert not patients[0] & patients[1]
    with pytest.raises(
        UserError, match=r"splits.val=validation is validated, so val_split must be"
    ):
        ready(*words, "dataset.splits.val=validation", "dataset.val_split=0.1")


def test_rows_that_are_read_as_they_are_needed(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", range(8), ["no", "yes"] * 4)
    words = (f"dataset.path={path}", "dataset.splits.test=null")
    in_memory = ready(*words)
    monkeypatch.setattr(hf_images, "MAX_BYTES_IN_MEMORY", 0)
    on_disk = ready(*words)
    assert isinstance(on_disk.labelled_set.examples, hf_images.TableImages)
    indices = torch.tensor([5, 0, 3])
    first, second = (data.labelled_set.examples[indices] for data in (in_memory, on_disk))
    assert torch.equal(first, second)
    assert len(on_disk.fingerprint) == 16


def test_mistakes_are_named(tmp_path, monkeypatch):
    path = write_parquet(tmp_path / "a.parquet", range(4), [0, 1, 1, 0])
    words = (f"dataset.path={path}", "dataset.splits.test=null")
    with pytest.raises(
        UserError, match=r"no column y: give dataset.columns.label=NAME, of image, l"
    ):
        ready(*words, "dataset.columns.label=y")
    with pytest.raises(UserError, match="hf needs a parquet file, a folder or a name"):
        ready()
    (tmp_path / "bad.parquet").write_text("no parquet")
    with pytest.raises(UserError, match="bad.parquet cannot be read as a data set"):
        ready(f"dataset.path={tmp_path / 'bad.parquet'}")
    images = [{"bytes": data, "path": None} for data in (png(0), png(1), b"no image", png(2))]
    table = datasets.Dataset.from_dict({"image": images, "label": [0, 0, 1, 1]})
    table.to_parquet(tmp_path / "broken.parquet")
    with pytest.raises(
        ValueError, match="row 2 of the table cannot be read as an image: cannot id"
    ):
        ready(f"dataset.path={tmp_path / 'broken.parquet'}", "dataset.splits.test=null")


def test_without_a_network_one_sentence_is_said(monkeypatch):
    for library in (datasets.config, huggingface_hub.constants):  # as HF_HUB_OFFLINE=1: no retries
        monkeypatch.setattr(library, "HF_HUB_OFFLINE", True)
    with offline(), pytest.raises(UserError) as caught:
        ready("dataset.path=somebody/something")
    assert str(caught.value).startswith(
        "dataset: somebody/something is no file and no folder here, and cannot be fetched from the"
        " Hugging Face hub: "
    )
    assert str(caught.value).endswith("or give the path of a parquet file or of a folder")


def test_an_image_folder_is_trained_by_the_command(app, tmp_path):
    draws = np.random.default_rng(0)
    for split, count in (("train", 10), ("test", 4)):
        for name in ("cat", "dog"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 255, (12, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    words = ["dataset=hf", f"dataset.path={tmp_path / 'images'}", "dataset.batch_size=4"]
    assert app(*SMALL, *words, "trainer.max_epochs=1") == 0
    (folder,) = tmp_path.glob("outputs/train/*")
    record = result(folder)
    assert record["dataset"]["class_names"] == ["cat", "dog"]
    assert record["dataset"]["num_train"] == 18
    assert record["dataset"]["root"] == str(tmp_path / "images")
    assert record["config"]["model"]["num_classes"] == 2
