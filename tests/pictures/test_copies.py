"""The picture of ghosts as copies by depth."""

from ghostexp.analysis.ghost_copies import LayerSummary
from ghostexp.pictures.copies import picture_copies


def summary(layer: str, explained: float, good_copies: float) -> LayerSummary:
    return LayerSummary(layer, 8, 0, 0.5, explained, 0.5, 0.5, good_copies, 0.5, 0.5)


def test_both_panels_show_trained_and_random_kernels_in_the_networks_order():
    trained = [summary("b", 0.9, 0.5), summary("a", 0.25, 0.0)]
    random = [summary("b", 0.7, 0.125), summary("a", 0.75, 0.25)]
    above, below = picture_copies(trained, random).axes
    drawn = [
        {line.get_label(): [*line.get_ydata()] for line in axes.lines} for axes in (above, below)
    ]
    assert drawn[0] == {"trained kernels": [90, 25], "random kernels": [70, 75]}
    assert drawn[1] == {"trained kernels": [50, 0], "random kernels": [12.5, 25]}
    assert {text.get_text() for text in above.get_legend().texts} == set(drawn[0])
    assert [label.get_text() for label in below.get_xticklabels()] == ["b", "a"]
    assert below.get_ylabel() == "ghosts with 90% or more, %"
