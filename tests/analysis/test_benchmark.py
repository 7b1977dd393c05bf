"""Candidates that take turns: how often, and in which order."""

from ghostexp.analysis.benchmark import interleave


def orders(rounds: int) -> list[list[str]]:
    calls: list[str] = []
    names = ["a", "b", "c", "d"]

    def candidate(name):
        def call():
            calls.append(name)
            return float(len(calls))

        return call

    timings = interleave({name: candidate(name) for name in names}, rounds=rounds)
    assert [timing.name for timing in timings] == names
    rows = [calls[first : first + 4] for first in range(0, len(calls), 4)]
    for timing in timings:  # what each call returned stands in its own round; the first is warm-up
        places = [4 * i + row.index(timing.name) + 1 for i, row in enumerate(rows)]
        assert timing.seconds == places[1:]
    return rows


def test_every_round_has_each_candidate_once_in_another_order_and_the_same_next_time():
    rows = orders(12)
    assert len(rows) == 13
    assert all(sorted(row) == ["a", "b", "c", "d"] for row in rows)
    assert len({tuple(row) for row in rows}) > 6
    assert {row[0] for row in rows} == {"a", "b", "c", "d"}
    assert orders(12) == rows
