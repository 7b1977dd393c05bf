"""A share of each class is held out, for validation or as test: at random, or by whole groups."""

import logging

import torch
from torch import Tensor

from ghostexp.data.draws import epoch_generator

log = logging.getLogger(__name__)

TEST_SHARE = 0.2  # of each class, where a data set brings no test split
SPLIT_SEED = 0  # of test splits and folds; not the run's: every run is tested on the same examples


def stratified_split(
    indices: Tensor, labels: Tensor, class_names: list[str], *, share: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Split `indices` into (the rest, a share of each class), both sorted; at least one each.

    Of a class with a single example nothing is held out, which is warned of.
    """
    generator = epoch_generator(seed)
    held_out, whole = [], []
    for label in labels[indices].unique():
        members = indices[labels[indices] == label]
        count = min(max(1, round(share * len(members))), len(members) - 1)
        whole += [] if count else [class_names[label]]
        held_out.append(members[torch.randperm(len(members), generator=generator)[:count]])
    held = torch.cat(held_out).sort().values
    _warn_of_whole_classes(whole, share, "one example", held)
    return indices[~torch.isin(indices, held)], held


def grouped_split(
    indices: Tensor,
    labels: Tensor,
    groups: Tensor,
    class_names: list[str],
    *,
    share: float,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """`stratified_split` that holds out whole `groups` [N]: at least the share of each class.

    A class keeps at least one group to train on: with a single group nothing is held out of it.
    """
    generator = epoch_generator(seed)
    labels, groups = labels[indices], groups[indices]
    held = torch.zeros(len(indices), dtype=torch.bool)
    for label in labels.unique():
        members = labels == label
        names = groups[members].unique()
        for group in names[torch.randperm(len(names), generator=generator)]:
            if held[members].sum() >= max(1, round(share * int(members.sum()))):
                break
            held |= groups == group
    whole = []
    for label in labels.unique():
        members = labels == label
        if held[members].all():
            held &= groups != groups[members][0]
        if not held[members].any():
            whole.append(class_names[label])
    _warn_of_whole_classes(whole, share, "one group", held.nonzero())
    return indices[~held], indices[held]


def _warn_of_whole_classes(names: list[str], share: float, what: str, held: Tensor) -> None:
    """Name the classes that are too small to hold anything out; raise if all classes are."""
    if len(held) == 0:
        raise ValueError(
            f"a share of {share} cannot be held out: no class has more than {what}, and each"
            " class needs something to train on"
        )
    if names:
        log.warning(
            "nothing is held out of %s, which has no more than %s to spare", ", ".join(names), what
        )


def warn_of_leakage(groups: Tensor, train: Tensor, held_out: dict[str, Tensor]) -> None:
    """Log a sentence for each split that shares groups with the training split."""
    for name, indices in held_out.items():
        known = torch.isin(groups[indices], groups[train])
        if known.any():
            log.warning(
                "%d of %d %s examples belong to a group (a speaker, a recording) that is also in"
                " the training split: their accuracy says nothing about new groups",
                int(known.sum()), len(indices), name,
            )  # fmt: skip
