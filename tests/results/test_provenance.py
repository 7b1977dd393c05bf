"""Which code made a result: a revision, or the reason why none is known."""

import shutil
import subprocess

import pytest

from ghostexp.results.provenance import code_state


@pytest.fixture
def package(tmp_path):
    """A package of one file in a git checkout with one commit."""
    folder = tmp_path / "checkout" / "package"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("x = 1\n")

    def git(*arguments):
        identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)

    git("init", "--quiet", "..")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    return folder


def test_a_checkout_has_its_revision_and_whether_it_is_dirty(package):
    state = code_state(package)
    assert len(state["revision"]) == 40
    assert state["dirty"] is False
    (package / "__init__.py").write_text("x = 2\n")
    changed = code_state(package)
    assert changed["dirty"] is True
    assert changed["code"] != state["code"]


def test_a_copied_tree_is_named_and_its_code_still_told_apart(package, tmp_path):
    copy = shutil.copytree(package, tmp_path / "copy")
    state = code_state(copy)
    assert state["revision"] is None
    assert "not a git repository" in state["problem"]
    assert state["code"] == code_state(package)["code"]


def test_a_copy_within_another_checkout_has_not_its_revision(package):
    copy = shutil.copytree(package, package.parent / "vendored")
    assert code_state(copy)["revision"] is None
    assert "no git checkout tracks" in code_state(copy)["problem"]


def test_a_wrong_git_dir_changes_nothing(package, monkeypatch):
    state = code_state(package)
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    assert code_state(package) == state


def test_a_checkout_of_somebody_else_is_named(package, monkeypatch):
    monkeypatch.setattr(
        "ghostexp.results.provenance.os.environ", {"PATH": "/usr/bin:/bin", "HOME": "/nowhere"}
    )
    shutil.chown(package.parent, user=12345)
    state = code_state(package)
    assert state["revision"] is None
    assert "dubious ownership" in state["problem"]


def test_without_git_the_code_is_known_all_the_same(package, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    assert code_state(package)["problem"] == "the command git is not installed"
