"""Several launches share one study: each trial is done once, also when a launch dies."""

from contextlib import ExitStack

import pytest

optuna = pytest.importorskip("optuna")

from omegaconf import OmegaConf  # noqa: E402

from ghostexp.config.explain import UserError  # noqa: E402
from ghostexp.sweeps.claim import claimed, searching  # noqa: E402
from ghostexp.sweeps.study import Study, open_study  # noqa: E402

pytestmark = pytest.mark.extras
SPACE = {"lr": optuna.distributions.FloatDistribution(0.1, 1.0)}


@pytest.fixture
def search(tmp_path):
    """Start a launch with a search of four trials; the second value ends it."""

    def start(space=SPACE, **more):
        settings = OmegaConf.create(
            {
                "sampler": {"_target_": "optuna.samplers.TPESampler", "seed": 0},
                "direction": "maximize",
                "storage": f"sqlite:///{tmp_path}/search.db",
                "study_name": "s",
                "n_trials": 4,
                **more,
            }
        )
        alive = ExitStack()
        launch = alive.enter_context(searching(tmp_path, "s"))
        ends.callback(alive.close)
        return Study(tmp_path, settings, space, launch), alive.close

    with ExitStack() as ends:
        yield start


def states(study):
    return [trial.state.name for trial in study.study.trials]


def test_three_launches_share_the_trials_out_and_none_is_drawn_twice(search):
    launches = [search()[0] for _ in range(3)]
    trials = [launch.ask() for launch in launches]
    last = launches[0].ask()
    assert all(launch.ask() is None for launch in launches)  # four trials in all
    assert len({trial.params["lr"] for trial in (*trials, last)}) == 4
    for launch, trial in zip([*launches, launches[0]], [*trials, last], strict=True):
        launch.tell(trial, trial.params["lr"])
    assert states(launches[0]) == ["COMPLETE"] * 4
    assert all(launch.ask() is None for launch in launches)


def test_the_trial_of_a_dead_launch_is_asked_again_and_counted_once(search):
    (dead, dies), (alive, _) = search(), search()
    left, mine = dead.ask(), alive.ask()
    alive.tell(mine, 0.5)
    dies()
    again = alive.ask()
    assert again.params == left.params
    alive.tell(again, 0.6)
    while (trial := alive.ask()) is not None:
        alive.tell(trial, 0.7)
    assert sorted(states(alive)) == ["COMPLETE"] * 4 + ["FAIL"]


def test_a_failed_trial_is_replaced_by_the_next_launch_only(search):
    first, ends = search()
    for value in (None, float("nan"), 0.1, 0.2):
        first.tell(first.ask(), value)
    assert first.ask() is None
    ends()
    second, _ = search()
    for _ in range(2):
        second.tell(second.ask(), 0.3)
    assert second.ask() is None
    assert states(second).count("COMPLETE") == 4


def test_nobody_draws_what_another_is_at_work_on(search):
    space = {"ratio": optuna.distributions.CategoricalDistribution(("2", "3"))}
    (one, _), (other, _) = search(space), search(space)
    drawn = [one.ask(), other.ask()]
    assert {trial.params["ratio"] for trial in drawn} == {"2", "3"}
    assert one.ask() is None  # both are at work
    for trial in drawn:
        one.tell(trial, 0.5)
    assert one.ask() is not None


def test_the_draws_follow_from_the_seed(search, tmp_path):
    study, ends = search()
    drawn = [study.ask().params["lr"] for _ in range(3)]
    ends()
    (tmp_path / "search.db").unlink()
    again = search()[0]
    assert [again.ask().params["lr"] for _ in range(3)] == drawn


def test_a_grid_does_not_share_the_folder_of_a_search(search, tmp_path):
    search()
    with pytest.raises(UserError, match="at work on all jobs"), claimed([tmp_path / "seed=0"]):
        raise AssertionError


def test_a_database_that_is_none_is_told_in_a_sentence(tmp_path):
    (tmp_path / "search.db").write_text("no database")
    settings = {"study_name": "s", "storage": f"sqlite:///{tmp_path}/search.db"}
    with pytest.raises(UserError, match="search.db: "):
        open_study(OmegaConf.create({**settings, "direction": "maximize"}))
