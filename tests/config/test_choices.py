"""What --help says of the choices of each config group."""

import pytest

from ghostexp.config.choices import CONFIG_FOLDER, described

CHOICES = [
    (group, choice, line)
    for group, choices in described(CONFIG_FOLDER).items()
    for choice, line in choices.items()
]


@pytest.mark.parametrize(("group", "choice", "line"), CHOICES, ids=lambda value: str(value)[:30])
def test_every_choice_has_one_sentence(group, choice, line):
    assert line.endswith("."), "the first comment line of the file is a sentence"
    assert len(line) <= 96


def test_the_help_lists_every_choice_and_those_of_the_user(app, tmp_path, capsys):
    (tmp_path / "mine" / "model").mkdir(parents=True)
    (tmp_path / "mine" / "model" / "my_net.yaml").write_text("# Costs $5.\n_target_: my.Net\n")
    assert app("--help", f"hydra.searchpath=[file://{tmp_path}/mine]") == 0
    said = capsys.readouterr().out
    lines = {tuple(line.split(maxsplit=1)) for line in said.splitlines()}
    assert ("my_net", "Costs $5.") in lines
    missing = [choice for _, choice, line in CHOICES if (choice, line) not in lines]
    assert not missing


def test_the_shell_completes_choices(app, monkeypatch, capsys):
    monkeypatch.setenv("COMP_LINE", "python train.py model=ghostnet_v2")
    assert app("--shell-completion", "query=bash") in (0, None)
    assert capsys.readouterr().out.split() == [
        *("model=ghostnet_v2", "model=ghostnet_v2_130", "model=ghostnet_v2_160"),
    ]
