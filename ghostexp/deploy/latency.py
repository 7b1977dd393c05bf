"""Times of inference as deployed: each network in each form, on the CPU.

All of them take turns in one process. The weights may be random, because only speed is measured.
Before and after the timing the outputs are compared with the outputs of the eager network, so that
no network gets the time of another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ghostexp.analysis.benchmark import Timing, interleave, repeated
from ghostexp.deploy.forms import EXACT, FORMS, Call, Deployable, Subject


@dataclass(frozen=True)
class Measurement:
    """One network in one form, and how it compares with its reference in the same form.

    A ratio is the reference's number divided by this network's, so above 1 this network is ahead.
    `low` and `high` are the smallest and the largest `speed_ratio` of a round. `seconds` has those
    of each round, which belong together in one setting. If there is no time, `note` says why.
    """

    network: str
    form: str
    batch_size: int
    threads: int
    params: int
    macs: int
    lossless: bool  # float32
    reference: str
    macs_ratio: float
    ms: float | None = None
    fastest_ms: float | None = None
    slowest_ms: float | None = None
    images_per_s: float | None = None
    speed_ratio: float | None = None
    low: float | None = None
    high: float | None = None
    seconds: tuple[float, ...] = ()
    note: str = ""


def time_inference(
    subjects: Sequence[Subject],
    forms: Sequence[str],
    *,
    batch_sizes: Sequence[int],
    threads: Sequence[int],
    rounds: int,
) -> list[Measurement]:
    """Every subject in every form, for each batch size and number of threads.

    The subjects with the same reference take turns in all forms, `rounds` times after a warm-up. If
    this machine or this network does not have a form, or if the form's outputs differ from the
    network's, the form is listed with the reason and without a time. ValueError for an unknown
    form.
    """
    if unknown := [form for form in forms if form not in FORMS]:
        raise ValueError(f"forms are {', '.join(FORMS)}, not {', '.join(unknown)}")
    groups: dict[str, list[Deployable]] = {}
    for subject in subjects:
        groups.setdefault(subject.reference, []).append(Deployable(subject))
    before = torch.get_num_threads()
    measurements = []
    try:
        for count in threads:
            torch.set_num_threads(count)
            for batch_size in batch_sizes:
                for nets in groups.values():
                    torch.compiler.reset()  # compiled code has its threads and shapes built in
                    measurements += _time_setting(nets, forms, batch_size, count, rounds)
    finally:
        torch.set_num_threads(before)
    return measurements


@torch.no_grad()
def _time_setting(
    nets: Sequence[Deployable], forms: Sequence[str], batch_size: int, threads: int, rounds: int
) -> list[Measurement]:
    calls: dict[tuple[str, str], Call] = {}
    notes: dict[tuple[str, str], str] = {}
    expected = {net.subject.name: net.eager(net.images(batch_size)) for net in nets}
    for form in forms:
        build, _ = FORMS[form]
        for net in nets:
            key = (net.subject.name, form)
            try:
                calls[key] = build(net, net.images(batch_size), threads)
                calls[key]()
            except Exception as error:  # whatever an engine refuses with; the row says it
                calls.pop(key, None)
                notes[key] = _sentence(error)
    notes |= _leave_out_others(calls, expected)
    device = torch.device("cpu")
    timings = interleave(
        {key: repeated(call, device) for key, call in calls.items()}, rounds=rounds
    )
    notes |= _leave_out_others(calls, expected)
    timed = {timing.name: timing for timing in timings if timing.name in calls}
    return [
        _measurement(net, nets, form, batch_size, threads, timed, notes)
        for form in forms
        for net in nets
    ]


def _sentence(error: Exception) -> str:
    sentence = str(error).strip().splitlines()[0]
    return sentence if isinstance(error, ValueError) else f"{type(error).__name__}: {sentence}"


def _leave_out_others(
    calls: dict[tuple[str, str], Call], expected: dict[str, Tensor]
) -> dict[tuple[str, str], str]:
    """Remove the calls that do not give what their network gives, and say what is wrong."""
    notes = {}
    for (name, form), call in list(calls.items()):
        own, limit = expected[name], FORMS[form][1]
        error = float((call().float() - own).norm() / own.norm())
        if not error <= limit:
            del calls[name, form]
            notes[name, form] = (
                f"outputs that differ from those of {name} by {error:.2g} of their size, more than"
                f" {limit:g}"
            )
    return notes


def _measurement(
    net: Deployable,
    nets: Sequence[Deployable],
    form: str,
    batch_size: int,
    threads: int,
    timed: dict[tuple[str, str], Timing],
    notes: dict[tuple[str, str], str],
) -> Measurement:
    subject = net.subject
    (reference,) = (other for other in nets if other.subject.name == subject.reference)
    facts = {
        "network": subject.name,
        "form": form,
        "batch_size": batch_size,
        "threads": threads,
        "params": net.params,
        "macs": net.macs,
        "lossless": FORMS[form][1] == EXACT,
        "reference": subject.reference,
        "macs_ratio": reference.macs / net.macs,
    }
    own = timed.get((subject.name, form))
    if own is None:
        return Measurement(**facts, note=notes[subject.name, form])
    facts |= _times(own, batch_size)
    other = timed.get((subject.reference, form))
    if other is None:
        return Measurement(**facts, note=notes[subject.reference, form])
    ratios = other.ratios(own)
    speed = {"speed_ratio": other.median / own.median, "low": min(ratios), "high": max(ratios)}
    return Measurement(**facts, **speed)


def _times(timing: Timing, batch_size: int) -> dict[str, Any]:
    return {
        "ms": timing.median * 1e3,
        "fastest_ms": min(timing.seconds) * 1e3,
        "slowest_ms": max(timing.seconds) * 1e3,
        "images_per_s": batch_size / timing.median,
        "seconds": tuple(timing.seconds),
    }
