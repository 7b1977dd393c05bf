"""Downloads against a local server; state dicts of the authors' form, timm's and our own."""

import hashlib
import json
import logging
import os
import runpy
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import nn

from ghostexp.download import fetch
from ghostexp.models.ghostnet import ghostnet
from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.models.published import PUBLISHED, Published, cache_folder
from ghostexp.models.repghostnet import repghostnet
from ghostexp.models.weight_files import read_state
from ghostexp.models.weights import load_weights

BODY = bytes(range(256)) * 1000
SHA256 = hashlib.sha256(BODY).hexdigest()
SCRIPT = Path(__file__).parents[2] / "scripts" / "download_weights.py"


class Site(ThreadingHTTPServer):
    """Serves `body` at /file; each connection ends after `cut` bytes of it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.body, self.cut, self.ranges = BODY, None, True
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/file"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.server.asked.append(wanted)
        body = self.server.body
        if self.path != "/file":
            self.send_error(404)
            return
        start = int(wanted[6:-1]) if wanted and self.server.ranges else 0
        if start >= len(body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(body)}")
            self.end_headers()
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        self.wfile.write(body[start:][: self.server.cut])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def site():
    server = Site()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "cache" / "net.pth"


def names(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if file.suffix != ".lock")


def test_a_file_is_fetched_once_and_its_hash_recorded(site, path):
    assert fetch(site.url, path) == SHA256
    assert path.read_bytes() == BODY
    record = json.loads((path.parent / "net.pth.json").read_text())
    assert (record["sha256"], record["url"], record["bytes"]) == (SHA256, site.url, len(BODY))
    assert fetch(site.url, path) == SHA256
    assert len(site.asked) == 1
    assert names(path) == ["net.pth", "net.pth.json"]


@pytest.mark.parametrize("known", [SHA256, SHA256[:8]])
def test_known_hash_may_be_its_first_digits(site, path, known):
    assert fetch(site.url, path, sha256=known) == SHA256


def test_cut_connections_are_resumed_where_they_ended(site, path):
    site.cut = 100_000
    assert fetch(site.url, path, sha256=SHA256) == SHA256
    assert site.asked == [None, "bytes=100000-", "bytes=200000-"]


def test_part_of_an_earlier_process_is_gone_on_with(site, path):
    path.parent.mkdir()
    (path.parent / "net.pth.part").write_bytes(BODY[:5000])
    assert fetch(site.url, path, sha256=SHA256) == SHA256
    assert site.asked == ["bytes=5000-"]


@pytest.mark.parametrize("left", [BODY, BODY + b"more"])
def test_part_as_long_as_the_file_or_longer(site, path, left):
    path.parent.mkdir()
    (path.parent / "net.pth.part").write_bytes(left)
    assert fetch(site.url, path) == SHA256
    assert path.read_bytes() == BODY


def test_server_that_cannot_resume_sends_all_again(site, path):
    site.ranges = False
    path.parent.mkdir()
    (path.parent / "net.pth.part").write_bytes(b"x" * 5000)
    assert fetch(site.url, path) == SHA256
    assert site.asked == ["bytes=5000-"]


def test_a_cut_that_brings_nothing_more_ends_with_a_sentence_and_keeps_the_part(site, path):
    site.ranges, site.cut = False, 100_000
    with pytest.raises(ValueError, match="broke off after 100,000 of 256,000 bytes"):
        fetch(site.url, path)
    assert names(path) == ["net.pth.part"]


def test_wrong_hash_keeps_nothing(site, path):
    with pytest.raises(ValueError, match=f"has SHA-256 {SHA256}, but 0123abcd is known for it"):
        fetch(site.url, path, sha256="0123abcd")
    assert names(path) == []


def test_a_later_download_must_have_the_recorded_hash(site, path):
    fetch(site.url, path)
    path.unlink()
    site.body = BODY[::-1]
    with pytest.raises(ValueError, match=f"{SHA256} is recorded in .*net.pth.json"):
        fetch(site.url, path)
    assert names(path) == ["net.pth.json"]


def test_a_file_changed_on_disk_is_noticed(site, path):
    fetch(site.url, path)
    path.write_bytes(b"changed")
    with pytest.raises(ValueError, match=r"is recorded in .*: delete .*net\.pth to fetch"):
        fetch(site.url, path)


def test_what_cannot_be_fetched_says_where_to_put_it(site, path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/file"
    for url, reason in ((f"{site.url}/no", "404: Not Found"), (closed, "Connection refused")):
        with pytest.raises(ValueError, match=reason) as caught:
            fetch(url, path)
        sentence = str(caught.value)
        assert url in sentence
        assert f"put the file at {path} by hand" in sentence
        assert "\n" not in sentence
    path.write_bytes(BODY)  # by hand
    assert fetch(closed, path, sha256=SHA256[:8]) == SHA256


def test_cache_folder_follows_xdg(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "ghostexp" / "weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "ghostexp" / "weights"


def test_published_files_are_over_https_and_hashes_hexadecimal():
    for published in PUBLISHED.values():
        if published.url is None:
            continue
        is_torchvisions = published.url.endswith(f"-{published.sha256}.pth")
        start = "https://" if is_torchvisions else "https://github.com/huawei-noah/"
        assert published.url.startswith(start)
        assert published.sha256 is None or int(published.sha256, 16)


def small_ghostnet(num_classes: int = 10, **arguments) -> nn.Module:
    return ghostnet(num_classes, width_mult=0.1, **arguments)


def shuffled(net: nn.Module) -> dict[str, torch.Tensor]:
    """State of `net` with other values everywhere, the statistics too, and finite outputs."""
    torch.manual_seed(1)
    state = net.state_dict()
    for name, value in state.items():
        if value.is_floating_point():
            factors = 0.5 + torch.rand_like(value)
            state[name] = value * factors if value.ndim > 1 else factors
        else:
            state[name] = value + 3
    return state


def equal(state, other) -> bool:
    return state.keys() == other.keys() and all(torch.equal(state[n], other[n]) for n in state)


def save(content, path: Path) -> str:
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("form", ["bare", "wrapped", "parallel", "ours"])
def test_every_form_of_file_gives_all_entries(tmp_path, form):
    state = shuffled(small_ghostnet())
    content = {
        "bare": state,
        "wrapped": {"state_dict": state, "epoch": 3},
        "parallel": {f"module.{name}": value for name, value in state.items()},
        "ours": {
            "pytorch-lightning_version": "2.6.6",
            "state_dict": {f"net.{n}": v for n, v in state.items()}
            | {"loss.weight": torch.ones(3)},
        },
    }[form]
    net = small_ghostnet(weights=save(content, tmp_path / "net.pth"))
    assert equal(net.state_dict(), state)


def test_files_without_counters_of_batches_are_whole(tmp_path):
    state = shuffled(small_ghostnet())
    bare = {name: value for name, value in state.items() if "num_batches" not in name}
    net = small_ghostnet()
    report = load_weights(net, save(bare, tmp_path / "net.pth"))
    assert report.loaded == len(bare) < len(state)
    assert all(torch.equal(net.state_dict()[name], bare[name]) for name in bare)


@pytest.mark.parametrize(
    ("timm_name", "factory", "entries"),
    [
        ("ghostnet_100", ghostnet, 512),
        ("ghostnetv2_100", ghostnet_v2, 764),
        ("repghostnet_100", repghostnet, 672),
    ],
)
def test_timms_names_are_taken_by_their_order(tmp_path, timm_name, factory, entries):
    timm = pytest.importorskip("timm", reason="parity needs timm: install ghostexp[timm]")
    theirs = timm.create_model(timm_name).eval()
    theirs.load_state_dict(shuffled(theirs))
    net = factory().eval()
    report = load_weights(net, save(theirs.state_dict(), tmp_path / "net.pth"))
    assert (report.loaded, report.new) == (entries, ())
    assert report.by_order > entries / 2  # the others have the same names
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        logits = net(images)
        assert logits.std() > 0.01
        assert torch.equal(logits, theirs(images))


def test_other_classes_keep_the_backbone_and_say_that_the_head_is_new(tmp_path, caplog):
    state = shuffled(small_ghostnet(1000))
    torch.manual_seed(7)
    fresh = small_ghostnet(10).state_dict()
    torch.manual_seed(7)
    with caplog.at_level(logging.INFO, "ghostexp"):
        loaded = small_ghostnet(10, weights=save(state, tmp_path / "net.pth")).state_dict()
    head = {"classifier.weight", "classifier.bias"}
    for name, value in loaded.items():
        assert torch.equal(value, fresh[name] if name in head else state[name]), name
    assert "classifier.weight, classifier.bias are new, because the file has other" in caplog.text
    assert f"{len(state) - 2} entries" in caplog.text


def renamed(state, old, new):
    return {new if name == old else name: value for name, value in state.items()}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda s: renamed(s, "stem.0.weight", "stem.conv.bias"),
            r"1 missing \(stem\.0\.weight\), 1 unexpected \(stem\.conv\.bias\)",
        ),
        (lambda s: s | {"extra": torch.ones(1)}, r": 1 unexpected \(extra\)$"),
        (
            lambda s: s | {"stem.0.weight": torch.ones(4, 1, 3, 3)},
            r"1 of another shape \(stem\.0\.weight \[4, 1, 3, 3\] instead of \[4, 3, 3, 3\]\)",
        ),
        (
            lambda s: s | {"classifier.weight": torch.ones(10, 640)},
            r"classifier\.weight \[10, 640\] instead of \[10, 1280\]",
        ),
        (lambda s: {"a": torch.ones(1)}, r"missing \(.*, \.\.\.\), 1 unexpected \(a\)"),
        (
            lambda s: {f"x.{i}.{n.rpartition('.')[2]}": s[n] for i, n in enumerate(reversed(s))},
            r"missing \(stem\.0\.weight, .*unexpected \(x\.0\.bias, ",
        ),
    ],
)
def test_what_does_not_fit_is_named_and_nothing_loaded(tmp_path, change, sentence):
    net = small_ghostnet()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(ValueError, match=sentence):
        load_weights(net, save(change(shuffled(net)), tmp_path / "net.pth"))
    assert equal(net.state_dict(), before)


class Hostile:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("hostile"),)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_refused_and_not_run(tmp_path, monkeypatch, zipped):
    monkeypatch.chdir(tmp_path)
    torch.save({"a": Hostile()}, "net.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"net\.pth is refused") as caught:
        load_weights(nn.Linear(1, 1), "net.pth")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["net.pth"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"epoch": 3}, "holds no state dict"),
        ({"state_dict": {"a": 1}}, "holds no state dict"),
    ],
)
def test_other_contents_are_named(tmp_path, content, sentence):
    with pytest.raises(ValueError, match=sentence):
        read_state(Path(save(content, tmp_path / "net.pth")))


@pytest.mark.parametrize("left", [0, 10, 1500])
def test_damaged_file_is_named(tmp_path, left):
    path = tmp_path / "net.pth"
    save({"a": torch.ones(1000)}, path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ValueError, match="net.pth (is damaged|is refused)"):
        read_state(path)


def test_names_come_before_the_order(tmp_path, caplog):
    """Two layers of one form whose names are there stay where their names say."""
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1), nn.Conv2d(1, 1, 1))
    state = {
        f"{name}.{kind}": torch.full((1,) * (4 if kind == "weight" else 1), float(value))
        for value, name in enumerate(("2", "1", "first"))
        for kind in ("weight", "bias")
    }
    with caplog.at_level(logging.INFO):
        report = load_weights(net, save(state, tmp_path / "net.pth"))
    assert [int(layer.weight) for layer in net] == [2, 1, 0]
    assert report.by_order == 2
    assert "2 of them by their order because their names differ" in caplog.text


def test_a_backbone_without_its_classifier_leaves_the_head_new(tmp_path):
    state = shuffled(small_ghostnet())
    backbone = {n: v for n, v in state.items() if not n.startswith("classifier")}
    net = small_ghostnet()
    report = load_weights(net, save(backbone, tmp_path / "net.pth"))
    assert report.new == ("classifier.weight", "classifier.bias")
    loaded = net.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in backbone.items())


def test_safetensors_are_matched_by_name_alone(tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    state = shuffled(small_ghostnet())
    path = tmp_path / "net.safetensors"
    safetensors.save_file(state, path)
    assert equal(small_ghostnet(weights=str(path)).state_dict(), state)
    safetensors.save_file(renamed(state, "stem.0.weight", "stem.conv.weight"), path)
    with pytest.raises(ValueError, match=r"1 missing .* 1 unexpected \(stem\.conv\.weight\)"):
        small_ghostnet(weights=str(path))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="net.safetensors cannot be read as weights"):
        small_ghostnet(weights=str(path))


def test_unknown_source_names_the_published_ones():
    with pytest.raises(ValueError, match="weights=ghostnet_9 is neither a file nor .*ghostnet_1.0"):
        ghostnet(weights="ghostnet_9")


@pytest.fixture
def published(site, monkeypatch, tmp_path):
    """A small network's weights under a published name."""
    state = shuffled(small_ghostnet())
    site.body = Path(save(state, tmp_path / "source.pth")).read_bytes()
    entry = Published(site.url, hashlib.sha256(site.body).hexdigest()[:8], "model=small")
    monkeypatch.setitem(PUBLISHED, "ghostnet_1.0", entry)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return state


def test_published_name_is_fetched_and_loaded(published, site, tmp_path):
    for _ in range(2):
        assert equal(small_ghostnet(weights="ghostnet_1.0").state_dict(), published)
    assert len(site.asked) == 1
    assert (tmp_path / "cache" / "ghostexp" / "weights" / "ghostnet_1.0.pth").exists()
    with pytest.raises(ValueError, match=r"do not fit \(they are for model=small\)"):
        ghostnet(width_mult=0.2, weights="ghostnet_1.0")


def run_script(monkeypatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["download_weights.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    return stop.value.code


def test_script(published, site, tmp_path, monkeypatch, capsys):
    assert run_script(monkeypatch, "ghostnet_1.0", "--to", str(tmp_path / "here")) == 0
    path = tmp_path / "here" / "ghostnet_1.0.pth"
    assert f"{path}: {len(published)} entries, for model=small" in capsys.readouterr().out
    path.unlink()
    site.body = b"another file"
    assert run_script(monkeypatch, "ghostnet_1.0", "--to", str(tmp_path / "here")) == 1
    errors = capsys.readouterr().err
    assert errors.startswith("error: ghostnet_1.0.pth from http")
    assert errors.count("\n") == 1
