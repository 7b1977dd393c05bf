"""Archives from a local web server."""

import hashlib
import io
import re
import tarfile
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import ROOT

from ghostexp.data.archives import Archive, content_digest, provide
from ghostexp.data.recordings import ESC50, FSDD, SPEECH_COMMANDS

FILES = {"recordings/a.wav": b"one", "README.md": b"two"}


@pytest.fixture
def shown(tmp_path):
    """Folder that a local web server shows, and its address."""
    folder = tmp_path / "shown"
    folder.mkdir()
    handler = type("Quiet", (SimpleHTTPRequestHandler,), {"log_message": lambda *arguments: None})
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    yield folder, f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    http.server_close()


def pack(folder, prefix: str) -> str:
    """A tar file of FILES; returns its SHA-256."""
    with tarfile.open(folder / "set.tar.gz", "w:gz") as tar:
        for name, content in FILES.items():
            entry = tarfile.TarInfo(prefix + name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return hashlib.sha256((folder / "set.tar.gz").read_bytes()).hexdigest()


def archive(url: str, sha256: str | None = None) -> Archive:
    return Archive("The set", f"{url}/set.tar.gz", "set.tar.gz", "recordings", sha256)


@pytest.mark.parametrize("prefix", ["set-1.0/", "./"])
def test_an_archive_is_fetched_checked_and_unpacked_once(tmp_path, shown, prefix):
    folder, url = shown
    sha256 = pack(folder, prefix)
    root = tmp_path / "data"
    for _ in range(2):
        provide(archive(url, sha256), root)
        assert {name: (root / name).read_bytes() for name in FILES} == FILES
        (folder / "set.tar.gz").unlink(missing_ok=True)
    assert not list(root.glob(".unpacking*"))


def test_another_content_is_refused(tmp_path, shown):
    folder, url = shown
    pack(folder, "")
    with pytest.raises(ValueError, match="has SHA-256 .* but 123 is known for it"):
        provide(archive(url, "123"), tmp_path / "data")
    assert not (tmp_path / "data" / "recordings").exists()


def test_what_is_no_archive_is_named(tmp_path, shown):
    folder, url = shown
    (folder / "set.tar.gz").write_text("a captive portal's page")
    with pytest.raises(ValueError, match=r"set.tar.gz cannot be unpacked .* delete it to fetch"):
        provide(archive(url), tmp_path / "data")


def test_offline_the_sentence_says_where_the_data_belong(tmp_path):
    with pytest.raises(ValueError, match="cannot be fetched") as caught:
        provide(archive("http://127.0.0.1:9"), tmp_path / "data")
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in ("The set needs", str(tmp_path / "data" / "recordings"), "dataset.root=FOLDER"):
        assert part in sentence


def test_a_zip_file_is_unpacked_as_well(tmp_path, shown):
    folder, url = shown
    with zipfile.ZipFile(folder / "set.zip", "w") as packed:
        for name, content in FILES.items():
            packed.writestr(f"set-1.0/{name}", content)
    sha256 = hashlib.sha256((folder / "set.zip").read_bytes()).hexdigest()
    root = tmp_path / "data"
    provide(Archive("The set", f"{url}/set.zip", "set.zip", "recordings", sha256), root)
    assert {name: (root / name).read_bytes() for name in FILES} == FILES


def test_the_content_is_checked_whatever_packed_it(tmp_path, shown):
    folder, url = shown
    pack(folder, "set-1.0/")
    known = hashlib.sha256(b"a.wav\0" + hashlib.sha256(b"one").digest()).hexdigest()
    root = tmp_path / "data"
    provide(replace(archive(url), content=known), root)
    assert content_digest(root / "recordings") == known
    other = tmp_path / "other"
    with pytest.raises(ValueError, match="files in recordings of .*set.tar.gz are not the known"):
        provide(replace(archive(url), content=known[::-1]), other)
    assert not (other / "recordings").exists()


@pytest.mark.parametrize("known", [FSDD, ESC50, SPEECH_COMMANDS], ids=lambda known: known.title)
def test_published_sets_are_pinned(known):
    """A branch moves; a commit or a file with a checksum does not."""
    assert "refs/heads" not in known.url
    digests = [digest for digest in (known.sha256, known.content) if digest]
    assert len(digests) == 1
    assert len(digests[0]) == 64
    assert int(digests[0], 16)
    if "github.com" in known.url:
        assert re.search(r"/archive/[0-9a-f]{40}\.", known.url)


def test_a_copy_of_fsdd_is_the_pinned_one():
    recordings = ROOT / "data" / "fsdd" / "recordings"
    if not recordings.is_dir():
        pytest.skip("FSDD is not in data/fsdd")
    assert content_digest(recordings) == FSDD.content
