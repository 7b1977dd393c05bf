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


@pytest.mark.parametrize(
    "path", ["a,b", "a[1]", "it's", "a b", "a{b}", "x\\y", "end\\", "a\\'b", "(a)", "ü", "k=v=w"]
)
def test_a_path_is_quoted_so_that_hydra_reads_it_as_it_is(path):
    (override,) = OverridesParser.create().parse_overrides([quoted(f"resume={path}")])
    assert override.value() == path
    assert quoted(quoted(f"resume={path}")) == quoted(f"resume={path}")
