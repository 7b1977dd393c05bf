"""Folds: each example once, classes equally frequent, groups whole, the same for every seed."""

import numpy as np
import pytest
import torch
from helpers import SMALL, main_of, result
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from ghostexp.data import Augment, digits, image_folder
from ghostexp.data.folds import Fold, chosen_fold, fold_split

NAMES = ["cat", "dog", "cow"]
LABELS = torch.tensor([0] * 50 + [1] * 30 + [2] * 7)


def held(index: int, count: int, labels=LABELS, groups=None) -> torch.Tensor:
    indices = torch.arange(len(labels))
    rest, fold = fold_split(indices, labels, NAMES, Fold(index, count, "test"), groups=groups)
    assert sorted(rest.tolist() + fold.tolist()) == indices.tolist()
    return fold


def test_each_example_is_in_one_fold_and_classes_are_equally_frequent():
    folds = [held(index, 5) for index in range(5)]
    assert torch.cat(folds).sort().values.tolist() == list(range(87))
    for fold in folds:
        assert LABELS[fold].bincount().tolist() in ([10, 6, 1], [10, 6, 2])


def test_folds_are_those_of_scikit_learn():
    cutter = StratifiedKFold(5, shuffle=True, random_state=0)
    expected = [test for _, test in cutter.split(np.zeros(87), LABELS.numpy())]
    assert held(3, 5).tolist() == expected[3].tolist()


def test_only_the_given_examples_are_divided():
    chosen = torch.arange(1, 87, 2)
    rest, fold = fold_split(chosen, LABELS, NAMES, Fold(1, 3, "val"))
    assert sorted(rest.tolist() + fold.tolist()) == chosen.tolist()


def test_no_group_is_in_two_folds():
    groups = torch.arange(120) // 6  # 20 groups of 6, each with all classes
    labels = torch.arange(120) % 3
    folds = [held(index, 4, labels, groups) for index in range(4)]
    assert torch.cat(folds).sort().values.tolist() == list(range(120))
    of_folds = [set(groups[fold].tolist()) for fold in folds]
    assert sum(map(len, of_folds)) == len(set.union(*of_folds)) == 20


@pytest.mark.parametrize(
    ("labels", "groups", "count", "sentence"),
    [
        (LABELS, None, 8, "folds=8 is more than the 7 examples of the class cow"),
        ([0, 1, 2] * 9, [0, 1, 2] * 3 * 3, 4, "folds=4 is more than the 3 groups of the data"),
        ([0, 1, 2] * 4, [0, 1, 2, 0, 1, 3] * 2, 2, "the class cat is in one group alone"),
    ],
)
def test_too_many_folds_are_named(labels, groups, count, sentence):
    groups = None if groups is None else torch.tensor(groups)
    with pytest.raises(ValueError, match=sentence):
        held(0, count, torch.as_tensor(labels), groups)


def test_a_fold_without_a_class_is_warned_of(caplog):
    labels = torch.tensor([0, 1, 2] * 3 + [0, 1] * 3)
    groups = torch.tensor([0] * 9 + [1] * 2 + [2] * 2 + [3] * 2)
    labels[-1] = 2
    missing = [held(index, 3, labels, groups) for index in range(3)]
    without_cow = [index for index in range(3) if not (labels[missing[index]] == 2).any()]
    assert [f"fold {index} of 3 has no example of cow" in caplog.text for index in range(3)] == [
        index in without_cow for index in range(3)
    ]
    assert without_cow


@pytest.mark.parametrize(
    ("folds", "fold", "sentence"),
    [
        (None, 3, r"fold=3 needs the number of folds, such as dataset.folds=5"),
        (5, None, r"folds=5 needs the fold .* -m dataset.fold=0,1,2,3,4 for all"),
        (1, 0, "folds is a whole number of at least 2, not 1"),
        (5, 5, "fold is 0 to 4 of folds=5, not 5"),
        (5, -1, "fold is 0 to 4 of folds=5, not -1"),
    ],
)
def test_what_cannot_be_meant_is_named(folds, fold, sentence):
    with pytest.raises(ValueError, match=sentence):
        chosen_fold(folds, fold, has_test=False, has_val=False, val_split=0.1)


def test_the_fold_is_the_part_that_the_data_lack():
    no_val = {"has_val": False, "val_split": 0.0}
    assert chosen_fold(None, None, has_test=True, **no_val) is None
    assert chosen_fold(5, 2, has_test=True, **no_val) == Fold(2, 5, "val")
    assert chosen_fold(5, 2, has_test=False, **no_val) == Fold(2, 5, "test")
    assert chosen_fold(5, 2, has_test=False, has_val=True, val_split=0.0).part == "test"
    with pytest.raises(ValueError, match="nothing to hold out as a fold"):
        chosen_fold(5, 2, has_test=True, has_val=True, val_split=0.0)
    with pytest.raises(ValueError, match=r"val_split must be 0, not 0.1"):
        chosen_fold(5, 2, has_test=True, has_val=False, val_split=0.1)


def ready(data):
    data.prepare_data()
    data.setup("fit")
    return data


def test_a_set_with_a_test_part_validates_the_folds_of_its_training_examples():
    def make(**split):
        augment = Augment(mean=[0.3], std=[0.3], flip=False)
        return ready(digits(image_size=8, augment=augment, **split))

    whole = make(seed=0)
    folds = [make(folds=5, fold=index, seed=index) for index in range(5)]
    for data in folds:
        assert data.has_validation
        assert torch.equal(data.labelled_set.test, whole.labelled_set.test)
        assert data.num_train + len(data.val) == whole.num_train
    everything = torch.cat([data.val for data in folds]).sort().values
    assert torch.equal(everything, whole.train.sort().values)  # whatever the seed
    assert folds[3].fold_facts == {"fold": 3, "folds": 5, "fold_part": "val"}
    assert whole.fold_facts == {}
    assert len({data.fingerprint for data in folds}) == 5


@pytest.fixture
def photos(tmp_path):
    """Two classes of 12 images by 6 patients, two each; every image has a shade of its own."""
    for label, name in enumerate(("ill", "well")):
        for number in range(12):
            path = tmp_path / "photos" / name / f"p{number // 2}_{number % 2}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (100 * label + number,) * 3).save(path)
    return tmp_path / "photos"


def test_a_folder_without_a_test_part_tests_its_folds(photos):
    def make(fold, **more):
        augment = Augment(mean=[0.5] * 3, std=[0.5] * 3)
        return ready(
            image_folder(
                str(photos), image_size=8, folds=3, fold=fold, augment=augment, seed=fold, **more
            )
        )

    folds = [make(fold, val_split=0.2) for fold in range(3)]
    tested = torch.cat([data.labelled_set.test for data in folds])
    assert tested.sort().values.tolist() == list(range(24))
    for data in folds:
        assert data.labelled_set.labels[data.labelled_set.test].bincount().tolist() == [4, 4]
        parts = [data.train, data.val, data.labelled_set.test]
        assert torch.cat(parts).sort().values.tolist() == list(range(24))
        assert len(data.val) > 0
    by_patient = make(1, group_pattern="^(p[0-9])_", val_split=0.2).labelled_set
    patients = [torch.tensor([number // 2 for number in range(12)] * 2)[part].unique().tolist()
                for part in (by_patient.train, by_patient.test)]  # fmt: skip
    assert not set(patients[0]) & set(patients[1])
    assert len(patients[1]) == 2


def test_too_many_folds_are_refused_before_an_image_is_read(photos):
    (photos / "ill" / "p0_0.png").write_text("no image")
    augment = Augment(mean=[0.5] * 3, std=[0.5] * 3)
    data = image_folder(str(photos), folds=13, fold=0, augment=augment, seed=0)
    with pytest.raises(ValueError, match="folds=13 is more than the 12 examples of the class ill"):
        data.prepare_data()


def test_a_sweep_over_folds_and_its_report(app, photos, tmp_path, capsys):
    words = [word for word in SMALL[2:] if not word.startswith("dataset.val_split")]
    words += ["model=linear", "dataset=image_folder", "dataset.image_size=8"]
    words += [f"dataset.root={photos}", "trainer.max_epochs=1"]
    assert app(*words, "dataset.folds=2", "-m", "dataset.fold=0,1", "dataset.batch_size=4") == 0
    records = [result(tmp_path / "outputs" / "train" / f"dataset.fold={k}") for k in (0, 1)]
    for index, record in enumerate(records):
        facts = record["dataset"]
        assert (facts["fold"], facts["folds"], facts["fold_part"]) == (index, 2, "test")
        assert record["config"]["dataset"]["fold"] == index
    assert records[0]["dataset"]["fingerprint"] != records[1]["dataset"]["fingerprint"]
    capsys.readouterr()
    assert main_of("report")([str(tmp_path / "outputs" / "train")]) == 0
    assert "(2 folds)" in capsys.readouterr().out
    assert app(*words, "dataset.folds=2", "-m", "dataset.fold=0,2") == 1
    assert "dataset: fold is 0 to 1 of folds=2, not 2" in capsys.readouterr().err
