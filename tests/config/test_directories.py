"""Folder names: legal, bounded, stable, never shared."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from ghostexp.config.directories import MAX_NAME, job_dir, new_run_dir, scale_lr


def test_two_runs_of_one_second_get_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: new_run_dir("train", None), range(16)))
    assert len(folders) == 16
    assert all((tmp_path / folder).is_dir() for folder in folders)


def test_resume_names_its_own_folder():
    assert new_run_dir("train", "outputs/train/x") == "outputs/train/x"


def test_plain_values_name_the_folder():
    assert job_dir("model.ratio=2,seed=0") == "model.ratio=2,seed=0"


@pytest.mark.parametrize("text", ["dataset.root=/a/b c", "sched.scheduler.milestones=[1,2]"])
def test_illegal_characters_are_replaced_and_told_apart(text):
    name = job_dir(text)
    assert not set(name) & set("/[] :*?\"'\\")
    assert name != job_dir(text.replace("[", "(").replace("/", "_").replace("]", ")"))


def test_long_names_are_bounded_and_told_apart():
    names = {job_dir("x" * 400 + str(k)) for k in range(5)}
    assert len(names) == 5
    assert all(len(name) <= MAX_NAME for name in names)


def test_nothing_swept_still_has_a_name():
    assert job_dir("") == "only"


def test_learning_rate_is_linear_in_the_batch():
    assert scale_lr(0.1, 128) == 0.1
    assert scale_lr(0.1, 32) == pytest.approx(0.025)
