"""Which empty folders are removed."""

from ghostexp.files.folders import remove_if_empty


def test_empty_folders_go_up_to_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    remove_if_empty((tmp_path / "a" / "b" / "c").relative_to(tmp_path))
    assert tmp_path.exists()
    assert not (tmp_path / "a").exists()


def test_a_folder_with_something_in_it_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a" / "b" / "c").mkdir(parents=True)
    (tmp_path / "a" / "notes.txt").touch()
    remove_if_empty(tmp_path / "a" / "b" / "c")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["notes.txt"]
    remove_if_empty(tmp_path / "a")
    assert (tmp_path / "a" / "notes.txt").exists()


def test_above_a_folder_elsewhere_nothing_goes(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "else" / "a" / "b").mkdir(parents=True)
    remove_if_empty(tmp_path / "else" / "a" / "b")
    assert (tmp_path / "else" / "a").exists()
    assert not (tmp_path / "else" / "a" / "b").exists()


def test_the_working_folder_and_those_above_stay(tmp_path, monkeypatch):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    remove_if_empty(tmp_path / "a" / "b")
    remove_if_empty(tmp_path / "a")
    assert (tmp_path / "a" / "b").exists()
