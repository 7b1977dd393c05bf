"""The table's integers are FIGURES.md's, and what does not train is told apart."""

from ghostexp.models import ghost_resnet56
from ghostexp.training.callbacks.summary import summarize


def test_parts_and_sums_of_the_table():
    net = ghost_resnet56()
    net.classifier.requires_grad_(False)
    table = summarize(net, (3, 32, 32))
    columns = {column.header: [*column.cells, column.footer] for column in table.columns}
    assert columns["part"] == [*dict(net.named_children()), "all"]
    assert columns["type"][-1] == "CifarResNet"
    assert columns["params"][-1] == "439,914"
    assert columns["trainable"][-2:] == ["0", "439,264"]
    assert columns["macs"][-1] == "65,325,696"


def test_a_run_prints_it_once_before_it_trains(small_run, capsys):
    small_run("callbacks.summary={_target_:ghostexp.training.callbacks.summary.NetworkSummary}")
    said = capsys.readouterr().out
    assert said.count("trainable") == 1
    assert "FLOPs" not in said
