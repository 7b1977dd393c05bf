"""What a search may draw: the swept values of a command line as Optuna's distributions.

optimizer.lr=tag(log,interval(0.005,0.2))   numbers between, on a logarithmic scale
model.ratio=choice(2,3,4) or 2,3,4          one of these
dataset.batch_size=range(32,129,32)         32, 64, 96 or 128
trainer.max_epochs=int(interval(2,9))       whole numbers from 2 to 9
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from ghostexp.config.explain import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Space = dict[str, "BaseDistribution"]


def space_of(overrides: Iterable[Override]) -> Space:
    """A distribution for each override that names more than one value; `UserError` if none does."""
    space = {
        each.key_or_group: _distribution(each) for each in overrides if each.is_sweep_override()
    }
    if not space:
        raise UserError(
            "a search needs a value to vary, such as 'optimizer.lr=interval(0.01,0.1)' or"
            " model.ratio=2,3,4"
        )
    return space


def _distribution(override: Override) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution

    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep) and not value.shuffle:
            return _steps(value)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise UserError(f"{override.input_line}: {error}") from error


def _interval(value: IntervalSweep) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    log = "log" in value.tags
    if isinstance(value.start, int) or "int" in value.tags:
        return IntDistribution(int(value.start), int(value.end), log=log)
    return FloatDistribution(value.start, value.end, log=log)


def _steps(value: RangeSweep) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    numbers = list(value.range())
    if not numbers:
        raise ValueError("the range holds no value")
    low, high = min(numbers), max(numbers)
    kind = IntDistribution if isinstance(value.step, int) else FloatDistribution
    return kind(low, high, step=abs(value.step))


def as_overrides(drawn: dict[str, Any]) -> list[str]:
    """`key=value` for each value of a trial; texts are as the command line gave them."""
    return [f"{key}={value}" for key, value in drawn.items()]
