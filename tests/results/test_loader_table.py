"""The file of `ghostexp benchmark loader`: rates and gains, worked out by hand."""

from ghostexp.results.loader_table import to_markdown


def row(loader, seconds, cpu_seconds):
    named = {"loader": loader, "workers": 2, "batch_size": 64, "images": 6000}
    return named | {"seconds": seconds, "cpu_seconds": cpu_seconds, "rss_bytes": [2**30] * 3}


def test_gains_are_over_the_faster_of_the_other_two():
    rows = [
        row("torchvision", [10.0, 12.0, 15.0], [24.0, 24.0, 24.0]),
        row("timm", [12.0, 15.0, 20.0], [20.0, 20.0, 30.0]),
        row("dataset=imagenet", [6.0, 8.0, 10.0], [16.0, 10.0, 15.0]),
    ]
    written = to_markdown(
        {"circumstances": "a CPU", "measured": "today", "command": "benchmark", "rows": rows}
    )
    assert "**2 workers, batches of 64, 6,000 photos**" in written
    _, _, first, _, ours = [line for line in written.splitlines() if line[:1] == "|"]
    assert first == "| torchvision | 500 [400-600] | 250 [250-250] |  |  | 1,024 |"
    assert ours == (
        "| dataset=imagenet | 750 [600-1,000] | 400 [375-600] | **1.50** | **1.33** | 1,024 |"
    )
