"""The file of `ghostexp benchmark steps`: speeds and ratios, worked out by hand."""

from ghostexp.results.step_table import to_markdown


def row(network, form, seconds):
    named = {"setting": "batch 60", "network": network, "reference": "dense", "form": form}
    return named | {"batch_size": 60, "seconds": seconds}


def test_ratios_are_of_medians_and_of_rounds():
    rows = [
        row("ghost", "torch", [3.0, 2.0, 4.0]),
        row("ghost", "native", [1.5, 2.0, 1.0]),
        row("dense", "torch", [2.0, 2.0, 2.0]),
        row("dense", "native", [3.0, 3.0, 3.0]),
        row("linear", "torch", [1.0, 1.0, 1.0]),
    ]
    written = to_markdown(
        {"circumstances": "a CPU", "measured": "today", "command": "benchmark", "rows": rows}
    )
    _, _, ghost, dense, linear = [line for line in written.splitlines() if line[:1] == "|"]
    assert ghost == (
        "| ghost | 20 [15-30] | 40 [30-60] | **2.00** [1.00-4.00] | **2.00** [1.50-3.00] dense |"
    )
    assert dense == "| dense | 30 [30-30] | 20 [20-20] | **0.67** [0.67-0.67] |  |"
    assert linear == "| linear | 60 [60-60] | none | none | none |"
