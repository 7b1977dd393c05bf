"""A verdict is measured once, is kept in two files, and of two verdicts the first counts."""

import json

import pytest
import torch
from torch import Tensor

from ghostexp.kernels import decisions
from ghostexp.kernels.decisions import FASTER, FILE_NAME, Decisions, time_both, typical_size

KIND = "batch norm, 8 channels"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """The file of this machine, which is not there yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "ghostexp" / FILE_NAME


def measuring(ours: float, torchs: float):
    """A measurement with this outcome, and the list of its calls."""
    calls = []

    def measure() -> tuple[float, float]:
        calls.append(KIND)
        return ours, torchs

    return measure, calls


def never() -> tuple[float, float]:
    raise AssertionError("measured although it is known")


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("ours", "torchs", "is_ours"),
    [(1.0, FASTER + 0.01, True), (1.0, FASTER - 0.01, False), (1.0, 0.5, False)],
)
def test_ours_must_be_faster_by_more_than_noise(cache, ours, torchs, is_ours):
    measure, calls = measuring(ours, torchs)
    mine = Decisions()
    assert mine.is_ours(KIND, measure) is is_ours
    assert mine.is_ours(KIND, never) is is_ours
    (line,) = lines(cache)
    assert (line["kind"], line["ours"], line["threads"]) == (KIND, is_ours, torch.get_num_threads())
    assert (line["ours_ms"], line["torch_ms"]) == (ours * 1e3, torchs * 1e3)
    assert calls == [KIND]


def test_a_machine_measures_once(cache):
    measure, _ = measuring(1.0, 2.0)
    assert Decisions().is_ours(KIND, measure)
    assert Decisions().is_ours(KIND, never)


def test_a_run_decides_as_before_whatever_became_of_the_cache(cache, tmp_path):
    fast, _ = measuring(1.0, 2.0)
    slow, calls = measuring(2.0, 1.0)
    record = tmp_path / "run.jsonl"
    assert Decisions(record).is_ours(KIND, fast)
    cache.unlink()
    assert not Decisions().is_ours(KIND, slow)  # another run meets a busy machine
    assert Decisions(record).is_ours(KIND, never)
    assert calls == [KIND]
    assert len(lines(record)) == 1


def test_another_machine_torch_or_kernel_is_measured_anew_but_not_within_a_run(
    cache, tmp_path, monkeypatch
):
    record = tmp_path / "run.jsonl"
    assert Decisions(record).is_ours(KIND, measuring(1.0, 2.0)[0])
    for name in ("circumstances", "texts"):
        with monkeypatch.context() as patch:
            patch.setattr(decisions, name, lambda *_: "other")
            assert not Decisions().is_ours(KIND, measuring(2.0, 1.0)[0])
            assert Decisions(record).is_ours(KIND, never)
    assert len({line["machine"] for line in lines(cache)}) == 3
    assert Decisions().is_ours(KIND, never)


def test_another_number_of_threads_is_measured_anew_but_not_within_a_run(
    cache, tmp_path, monkeypatch
):
    record = tmp_path / "run.jsonl"
    assert Decisions(record).is_ours(KIND, measuring(1.0, 2.0)[0])
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    assert Decisions(record).is_ours(KIND, never)
    assert not Decisions().is_ours(KIND, measuring(2.0, 1.0)[0])
    assert [line["threads"] for line in lines(cache)][-1] == 77


def test_of_processes_that_measure_at_once_the_first_decides(cache, tmp_path):
    record = tmp_path / "run.jsonl"
    other = Decisions(record)

    def measure_while_another_process_decides() -> tuple[float, float]:
        assert other.is_ours(KIND, measuring(1.0, 2.0)[0])
        return 2.0, 1.0

    assert Decisions(record).is_ours(KIND, measure_while_another_process_decides)
    assert [line["ours"] for line in lines(cache)] == [True, False]


def test_broken_lines_are_passed_over(cache):
    cache.parent.mkdir(parents=True)
    whole = {"machine": Decisions().machine, "kind": KIND, "threads": torch.get_num_threads()}
    broken = [b"\xff\xfe", b"[]", json.dumps(whole).encode(), json.dumps(whole).encode()[:-9]]
    cache.write_bytes(b"\n".join(broken))  # the last one without its end
    assert Decisions().is_ours(KIND, measuring(1.0, 2.0)[0])
    assert Decisions().is_ours(KIND, never)


def test_both_are_timed_and_nothing_is_left_behind():
    maps, weight = torch.ones(2, 4, 4, 4), torch.ones(4)
    calls = {"ours": 0, "torch": 0}

    def form(name: str, rounds: int):
        def step(inputs: Tensor, weight: Tensor) -> Tensor:
            calls[name] += 1
            for _ in range(rounds):
                inputs = inputs * weight[:, None, None]
            return inputs

        return step

    state = torch.get_rng_state()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours, torchs = time_both(form("ours", 300), form("torch", 1), maps, weight)
    assert ours > torchs > 0
    assert min(calls.values()) > decisions.ROUNDS
    assert maps.grad is None
    assert weight.grad is None
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(("size", "typical"), [(1, 1), (7, 8), (5, 4), (112, 128), (128, 128)])
def test_sizes_near_to_each_other_are_one(size, typical):
    assert typical_size(size) == typical
