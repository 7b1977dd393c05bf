"""Words of a command line, as Hydra's own parser reads them."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from ghostexp.config.arguments import checked_arguments, quoted
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError


def test_a_group_set_to_null_is_spelled_as_hydra_takes_it():
    given = ["callbacks=null", "logger=null", "experiment=null", "callbacks.best=null", "seed=null"]
    taken = ["~callbacks", "~logger", "callbacks.best=null", "seed=null"]
    assert checked_arguments(given) == taken
    with pytest.raises(UserError, match="sched=null: a run needs one"):
        checked_arguments(["sched=null"])
    assert not compose_config(["logger=null"]).get("logger")


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=resnet56_short", "recipe=short"],
        ["experiment=resnet56_short", "recipe=null"],
        ["experiment=short_pair", "recipe=shipped"],
        ["experiment=audio_losses", "recipe=shipped"],
    ],
)
def test_a_recipe_that_is_mixed_with_no_other_is_taken(words):
    checked_arguments(words)


def test_a_recipe_beside_that_of_an_experiment_is_refused():
    with pytest.raises(UserError, match="experiment=ratio_ablation_short trains with recipe=short"):
        checked_arguments(["-m", "recipe=shipped", "experiment=short_pair,ratio_ablation_short"])


SLIPS = {  # words -> what the sentence says
    "--model resnet20": "--model is no option: write model=resnet20, without dashes",
    "--batch-size=64 seed=1": "--batch-size=64 is no option: write batch_size=64, without",
    "--hlep": "--hlep is no option: write hlep=VALUE, without dashes before it, or --help",
    "--dryrun": ", or --dry-run",
    "-epochs -m": "-epochs is no option: write epochs=VALUE,",
    "--model seed=1": "--model is no option: write model=VALUE,",
    "seed=1 --cfg": "argument --cfg/-c: expected one argument; --help explains the options",
    "--config mine.yaml": "ambiguous option: --config could match --config-path, --config-name",
    "--cfg all_of_it": "invalid choice: 'all_of_it'",
    "model=resnet20, seed=1": "model=resnet20, ends with a comma: spaces separate the keys",
    "model.ratio=2, 3": "key=A,B, without spaces, gives several values",
    "sched = cosine": "sched is no key=value: write sched=VALUE, or KEY=sched",
    "sched= cosine": "cosine is no key=value: write cosine=VALUE, or KEY=cosine",
    "sched=cosine =1": "=1 has no key: write key=value, without spaces around =",
}


@pytest.mark.parametrize("words", SLIPS)
def test_what_is_no_key_and_value_is_refused_with_the_way_to_write_it(words):
    with pytest.raises(UserError) as refusal:
        checked_arguments(words.split(" "))
    assert SLIPS[words] in str(refusal.value)


def test_the_version_of_hydra_is_no_refusal(capsys):
    with pytest.raises(SystemExit) as stop:
        checked_arguments(["--version"])
    assert not stop.value.code
    assert capsys.readouterr().out.startswith("Hydra 1.3")


def test_an_empty_word_is_refused():
    with pytest.raises(UserError, match="'' is no key=value: write KEY=VALUE"):
        checked_arguments([""])


def test_options_stand_before_values_and_keep_their_words():
    given = ["seed=1", "--config-dir", "model", "~logger", "-m", "name='a,'", "--multi"]
    options = ["--config-dir", "model", "-m", "--multi"]
    assert checked_arguments(given) == [*options, "seed=1", "~logger", "name='a,'"]


@pytest.mark.parametrize(
    "path", ["a,b", "a[1]", "it's", "a b", "a{b}", "x\\y", "end\\", "a\\'b", "(a)", "ü", "k=v=w"]
)
def test_a_path_is_quoted_so_that_hydra_reads_it_as_it_is(path):
    (override,) = OverridesParser.create().parse_overrides([quoted(f"resume={path}")])
    assert override.value() == path
    assert quoted(quoted(f"resume={path}")) == quoted(f"resume={path}")
