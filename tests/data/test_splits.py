import pytest
import torch

from ghostexp.data.splits import grouped_split, stratified_split

NAMES = ["cat", "dog", "cow"]


def test_stratified_split_takes_the_share_of_each_class():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)
    indices = torch.arange(84).flip(0)
    rest, held = stratified_split(indices, labels, NAMES, share=0.1, seed=3)
    assert labels[held].bincount().tolist() == [5, 3, 1]  # at least one of each
    assert sorted(rest.tolist() + held.tolist()) == list(range(84))
    again = stratified_split(indices, labels, NAMES, share=0.1, seed=3)[1]
    other = stratified_split(indices, labels, NAMES, share=0.1, seed=4)[1]
    assert torch.equal(held, again)
    assert not torch.equal(held, other)


def test_stratified_split_keeps_one_image_to_train_on(caplog):
    labels = torch.tensor([0, 0, 0, 1, 2, 2])
    rest, held = stratified_split(torch.arange(6), labels, NAMES, share=0.9, seed=0)
    assert labels[held].bincount(minlength=3).tolist() == [2, 0, 1]
    assert labels[rest].bincount().tolist() == [1, 1, 1]
    assert caplog.messages == [
        "nothing is held out of dog, which has no more than one example to spare"
    ]
    with pytest.raises(ValueError, match="no class has more than one example"):
        stratified_split(torch.arange(2), torch.tensor([0, 1]), NAMES, share=0.5, seed=0)


def test_grouped_split_holds_out_whole_groups():
    groups = torch.arange(120) // 6  # 20 groups of 6
    labels = torch.arange(120) % 3  # each group has all classes
    indices = torch.arange(10, 120).flip(0)
    rest, held = grouped_split(indices, labels, groups, NAMES, share=0.2, seed=3)
    assert not set(groups[rest].tolist()) & set(groups[held].tolist())
    assert sorted(rest.tolist() + held.tolist()) == list(range(10, 120))
    assert len(held) >= 0.2 * 110
    assert len(held) <= 0.2 * 110 + 2 * 6
    assert torch.equal(grouped_split(indices, labels, groups, NAMES, share=0.2, seed=3)[1], held)
    assert not torch.equal(
        grouped_split(indices, labels, groups, NAMES, share=0.2, seed=4)[1], held
    )


def test_groups_of_one_are_the_stratified_share():
    labels = torch.tensor([0] * 50 + [1] * 30 + [2] * 4)
    _, held = grouped_split(torch.arange(84), labels, torch.arange(84), NAMES, share=0.1, seed=3)
    assert labels[held].bincount().tolist() == [5, 3, 1]


def test_grouped_split_leaves_each_class_something_to_train_on(caplog):
    labels = torch.tensor([0, 0, 0, 0, 1, 1])
    groups = torch.tensor([0, 1, 2, 3, 4, 4])
    rest, held = grouped_split(torch.arange(6), labels, groups, NAMES, share=0.2, seed=0)
    assert labels[held].tolist() == [0]
    assert sorted(rest.tolist() + held.tolist()) == list(range(6))
    assert caplog.messages == [
        "nothing is held out of dog, which has no more than one group to spare"
    ]
    with pytest.raises(ValueError, match="no class has more than one group"):
        grouped_split(torch.arange(6), labels, labels, NAMES, share=0.2, seed=0)
