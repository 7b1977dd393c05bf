"""A reader sees the old file or the new one, never half of one."""

import os

import pytest

from ghostexp.files.atomic import replacing, write_text


def test_what_goes_wrong_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_text(path, "old")

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_new_content_comes_with_the_blocks_end(tmp_path):
    path = tmp_path / "a.bin"
    with replacing(path) as file:
        file.write(b"\x00\xff")
        assert not path.exists()
    assert path.read_bytes() == b"\x00\xff"


def test_text_is_utf8_in_every_locale(tmp_path):
    write_text(tmp_path / "a", "größe")
    assert (tmp_path / "a").read_bytes() == "größe".encode()
