"""`ghostexp benchmark train` and `data`: our loop beside a bare loop, and batches from memory."""

import re

from helpers import main_of

SMALL = ("--rounds", "1", "dataset.image_size=8")


def rows(text: str) -> dict[str, list[str]]:
    """Cells of a printed table, by the first cell of their row."""
    lines = [line.strip("│\n ").split("│") for line in text.splitlines() if line.startswith("│ ")]
    return {first.strip(): [cell.strip() for cell in rest] for first, *rest in lines}


def test_what_our_loop_adds_is_the_difference_of_two_steps(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main_of("benchmark")(["train", *SMALL, "trainer.limit_train_batches=3"]) == 0
    found = rows(capsys.readouterr().out)
    bare, ours, added = (
        float(found[name][0].removesuffix(" ms"))
        for name in ("bare PyTorch loop", "ours", "added by ours")
    )
    assert bare > 0 < ours
    assert abs(ours - bare - added) < 0.0021  # each is rounded to three digits


def test_rates_of_batches_are_printed(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main_of("benchmark")(["data", *SMALL]) == 0
    found = rows(capsys.readouterr().out)
    for name in ("gather only", "gather, augment, normalise"):
        assert re.fullmatch(r"[\d,]+ images/s", found[name][0])
