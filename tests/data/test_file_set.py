"""Labels and groups from class folders, file names and tables, of images and sounds alike."""

import logging
import re

import numpy as np
import pytest
import soundfile
import torch
from helpers import ROOT
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.facts import complete_facts
from ghostexp.data.csv_labels import CsvLabels
from ghostexp.data.file_set import FileSet

ENDINGS = frozenset({".png", ".wav"})


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)


def facts(files) -> list[tuple[str, str, str]]:
    """Path below the root, label and split of each file."""
    return [
        (path.relative_to(files.root).as_posix(), files.class_names[label], split)
        for path, label, split in zip(files.paths, files.labels, files.splits, strict=True)
    ]


def table(root, text, **columns) -> FileSet:
    root.mkdir(parents=True, exist_ok=True)
    (root / "labels.csv").write_text(text)
    return FileSet(root, ENDINGS, csv=CsvLabels("labels.csv", **columns))


def test_labels_stand_in_file_names(tmp_path, caplog):
    touch(tmp_path, "cat_1.png", "more/dog_1.png", "more/cat_2.png", "readme.txt")
    touch(tmp_path, "x.png", "more/7.png", "3.png")
    named = FileSet(tmp_path, ENDINGS, label_pattern="^(?P<label>[a-z]+)_")
    assert named.class_names() == ["cat", "dog"]
    assert caplog.text == ""  # said once, when the files are listed
    with caplog.at_level(logging.INFO):
        files = named.list_files()
    assert facts(files) == [
        ("cat_1.png", "cat", "train"),
        ("more/cat_2.png", "cat", "train"),
        ("more/dog_1.png", "dog", "train"),
    ]
    assert caplog.messages == [
        f"left out of {tmp_path}: 1 others, which are not read (.txt)",
        f"label_pattern finds no label in 3 of 6 files of {tmp_path}, which are left out,"
        " such as 3.png, more/7.png, x.png",
    ]


def test_a_pattern_with_a_slash_is_searched_in_the_path(tmp_path):
    touch(tmp_path, "train/p1/ill/a.png", "train/p2/well/b.png", "test/p3/ill/c.png")
    named = FileSet(
        tmp_path,
        ENDINGS,
        label_pattern="(?P<label>[^/]+)/[^/]+$",
        group_pattern="/(?P<group>p[0-9])/",
    )
    files = named.list_files()
    assert facts(files) == [
        ("train/p1/ill/a.png", "ill", "train"),
        ("train/p2/well/b.png", "well", "train"),
        ("test/p3/ill/c.png", "ill", "test"),
    ]
    assert files.groups == ["p1", "p2", "p3"]
    assert named.has_groups
    assert not named.has_val


def test_the_first_bracket_is_taken_without_a_name(tmp_path):
    touch(tmp_path, "1_cat.png", "2_dog.png")
    assert FileSet(tmp_path, ENDINGS, label_pattern="_([a-z]+)").class_names() == ["cat", "dog"]


def test_bad_patterns_are_named(tmp_path):
    touch(tmp_path, "cat/1.png", "cat/b.png")
    with pytest.raises(ValueError, match=r"label_pattern=\(a is no regular expression: missing"):
        FileSet(tmp_path, ENDINGS, label_pattern="(a")
    with pytest.raises(
        ValueError, match=r"label_pattern=a has no bracket \(\?P<label>...\) around"
    ):
        FileSet(tmp_path, ENDINGS, label_pattern="a")
    with pytest.raises(
        ValueError,
        match=r"finds a label in none of the 2 files of .*, such as cat/1.png, cat/b.png",
    ):
        FileSet(tmp_path, ENDINGS, label_pattern="(zebra)").list_files()
    with pytest.raises(ValueError, match=r"finds no group in 1 of 2 files, such as cat/b.png"):
        FileSet(tmp_path, ENDINGS, group_pattern="([0-9])").list_files()
    with pytest.raises(
        ValueError, match=r"label_pattern=\(a\) and csv.file=l.csv both say the lab"
    ):
        FileSet(tmp_path, ENDINGS, label_pattern="(a)", csv=CsvLabels("l.csv"))


def test_a_table_says_labels_splits_and_groups(tmp_path, caplog):
    touch(tmp_path, "a.png", "deep/b.png", "c.png", "d.png", "e.png", "unnamed.png")
    text = "group,label,file,split\np1,ill,a.png,train\np2,well,deep/b.png,\np3,ill,c.png,valid\n"
    text += 'p4,"well",d.png,test\np4,ill,e.png,test\n'
    files = table(tmp_path, text)
    assert files.has_val
    assert files.has_groups
    assert files.class_names() == ["ill", "well"]
    listed = files.list_files()
    assert facts(listed) == [
        ("a.png", "ill", "train"),
        ("deep/b.png", "well", "train"),
        ("c.png", "ill", "val"),
        ("d.png", "well", "test"),
        ("e.png", "ill", "test"),
    ]
    assert listed.groups == ["p1", "p2", "p3", "p4", "p4"]
    assert caplog.messages == [
        f"1 files below {tmp_path} are not named by labels.csv and are left out,"
        " such as unnamed.png"
    ]


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_a_table_of_a_spreadsheet(tmp_path, delimiter):
    touch(tmp_path / "files", "ä 1.wav", "b.wav")
    rows = [["Datei", "Befund"], [str(tmp_path / "files" / "ä 1.wav"), "krank"], ["b.wav", "wohl"]]
    text = "\ufeff" + "\r\n".join(delimiter.join(row) for row in rows)
    files = table(tmp_path / "files", text, file_column="Datei", label_column="Befund")
    assert [(file, label) for file, label, _ in facts(files.list_files())] == [
        ("ä 1.wav", "krank"),
        ("b.wav", "wohl"),
    ]
    assert not files.has_groups


@pytest.mark.parametrize(
    ("text", "columns", "sentence"),
    [
        ("file,label\na.png,x\nzz.png,y\n", {}, "labels.csv:3: there is no file .*zz.png"),
        ("file,label\na.png,x\nb.png,\n", {}, "labels.csv:3: the column label is empty"),
        ("file,label\na.png,x\na.png,y\n", {}, "labels.csv:3: a.png is in line 2 too"),
        ("file,label\na.png,x\nt.txt,y\n", {}, "labels.csv:3: .*t.txt is of no kind that is read"),
        ("name,label\na.png,x\n", {}, "labels.csv:1: csv.file_column=file is none of the columns"),
        (
            "file,label\na.png,x\n",
            {"group_column": "patient"},
            "labels.csv:1: csv.group_column=patient is none of the columns file, label",
        ),
        (
            "file,label,split\na.png,x,train\nb.png,x,dev\n",
            {},
            "labels.csv:3: split is train, val or test, not dev",
        ),
        ("file,label,group\na.png,x,\n", {}, "labels.csv:2: the column group is empty"),
        ("file,label\n", {}, "labels.csv has no line below its header"),
        ("", {}, "labels.csv:1: csv.file_column=file is none of the columns"),
        ("file,label\na.png\n", {}, "labels.csv:2: the column label is empty"),
        ("file,label\na.png,x,y\n", {}, "labels.csv:2: the line has more cells than the header"),
    ],
)
def test_mistakes_of_a_table_are_named_with_their_line(tmp_path, text, columns, sentence):
    touch(tmp_path, "a.png", "b.png", "t.txt")
    with pytest.raises(ValueError, match=sentence):
        table(tmp_path, text, **columns).list_files()


def test_a_missing_table_is_named_when_it_is_needed(tmp_path):
    files = FileSet(tmp_path, ENDINGS, csv=CsvLabels("labels.csv"))
    assert not files.has_val  # a run whose data are gone can be loaded
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'labels.csv'} cannot be read")):
        files.class_names()


def test_groups_come_from_one_place(tmp_path):
    touch(tmp_path, "a.png")
    (tmp_path / "labels.csv").write_text("file,label,group\na.png,x,g\n")
    files = FileSet(tmp_path, ENDINGS, group_pattern="(a)", csv=CsvLabels("labels.csv"))
    with pytest.raises(ValueError, match="group_pattern=.* and a column of labels.csv both say"):
        files.list_files()


def ready(*words):
    """Datamodule of a command's words, checked and completed as train.py does it."""
    cfg = compose_config(list(words))
    OmegaConf.update(cfg, "run_dir", "run")
    audit(cfg, [ROOT / "conf"])
    complete_facts(cfg)
    data = build(cfg.dataset, "dataset")
    data.prepare_data()
    data.setup("fit")
    return cfg, data


def test_images_named_by_their_label(tmp_path):
    for number in range(10):
        Image.new("RGB", (8, 8), (number,) * 3).save(tmp_path / f"cat_{number}.png")
        Image.new("RGB", (8, 8), (100 + number,) * 3).save(tmp_path / f"dog_{number}.png")
    words = ["dataset=image_folder", f"dataset.root={tmp_path}", "dataset.image_size=8"]
    cfg, data = ready(*words, 'dataset.label_pattern="^(?P<label>[a-z]+)_"')
    assert cfg.model.num_classes == 2
    assert data.class_names == ["cat", "dog"]
    shades = data.labelled_set.examples[torch.arange(20)][:, 0, 0, 0]
    assert torch.equal(data.labelled_set.labels, (shades >= 100).long())
    assert data.labelled_set.labels[data.labelled_set.test].bincount().tolist() == [2, 2]


def test_sounds_in_a_table_of_speakers(tmp_path):
    lines = ["sound;word;speaker"]
    for number in range(24):
        rate = np.sin(np.arange(800) * (0.1 + 0.01 * number))
        soundfile.write(tmp_path / f"{number}.wav", 0.5 * rate, 16000)
        lines.append(f"{number}.wav;{('no', 'yes')[number % 2]};s{number // 4}")
    (tmp_path / "words.csv").write_text("\n".join(lines))
    columns = {"file": "words.csv", "file_column": "sound", "label_column": "word"}
    columns["group_column"] = "speaker"
    words = [f"dataset.csv.{key}={value}" for key, value in columns.items()]
    words += ["dataset=audio_folder", f"dataset.root={tmp_path}", "dataset.seconds=0.1"]
    cfg, data = ready(*words, "dataset.folds=3", "dataset.fold=1", "dataset.val_split=0.2")
    assert data.class_names == ["no", "yes"]
    assert data.labelled_set.labels.tolist() == [0, 1] * 12
    parts = (data.train, data.val, data.labelled_set.test)
    speakers = [{index // 4 for index in part.tolist()} for part in parts]
    assert [len(each) for each in speakers] == [3, 1, 2]
    assert set.union(*speakers) == set(range(6))
