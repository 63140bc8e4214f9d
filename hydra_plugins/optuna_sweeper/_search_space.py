"""The search space of a sweep: Hydra's override grammar on one side, Optuna's distributions on the other."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from optuna import Trial
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trashlite.errors import UserError
from trashlite.overrides import parse_override, to_override


@dataclass
class SearchSpace:
    """Settings of every job (`fixed`) and choices of a trial; keys are those of the overrides."""

    fixed: list[str] = field(default_factory=list)
    distributions: dict[str, BaseDistribution] = field(default_factory=dict)
    containers: dict[str, set[str]] = field(default_factory=dict)
    """Choices of a key that are lists or dicts: Optuna knows none, so that they are texts to it."""

    def suggest(self, trial: Trial) -> list[str]:
        """Let the trial choose; return its choices as overrides. Parameters bear the key without `+`."""
        overrides = []
        for key, dist in self.distributions.items():
            name, value = key.lstrip("+"), None
            if isinstance(dist, CategoricalDistribution):
                value = trial.suggest_categorical(name, dist.choices)
            elif isinstance(dist, FloatDistribution):
                value = trial.suggest_float(name, dist.low, dist.high, step=dist.step, log=dist.log)
            else:
                value = trial.suggest_int(name, dist.low, dist.high, step=dist.step, log=dist.log)  # type: ignore[attr-defined]
            is_text = value in self.containers[key]
            overrides.append(f"{key}={value}" if is_text else to_override(key, value))
        return overrides

    def chosen_by(self, function: str, values: Mapping[str, Any]) -> list[str]:
        """Overrides of what a function has chosen.

        Raises:
            UserError: the command line gives one of them a value for all trials, or other choices.
        """
        typed = {parse_override(text)[0]: text for text in self.fixed}
        typed |= {key.lstrip("+"): key for key in self.distributions}
        for key in values:
            if text := typed.get(key.lstrip("+")):
                raise UserError(f"{text}: {key.lstrip('+')} is what {function} chooses for each trial. Leave it out.")
        return [to_override(key, value) for key, value in values.items()]

    def grid(self) -> dict[str, list[Any]]:
        """Every value of every parameter, for a sampler that goes through all combinations.

        Raises:
            UserError: a parameter is continuous.
        """
        values: dict[str, list[Any]] = {}
        for key, dist in self.distributions.items():
            if isinstance(dist, CategoricalDistribution):
                values[key.lstrip("+")] = list(dist.choices)
                continue
            step = dist.step  # type: ignore[attr-defined]
            if step is None:
                raise UserError(f"A grid cannot go through {key}={dist}: use choice(…) or range(…).")
            count = round((dist.high - dist.low) / step) + 1  # type: ignore[attr-defined]
            values[key.lstrip("+")] = [dist.low + index * step for index in range(count)]  # type: ignore[attr-defined]
        return values


def parse_space(lines: Iterable[str], config_loader: ConfigLoader | None = None) -> SearchSpace:
    """Sort overrides, later ones going before earlier ones of the same key, into fixed ones and distributions.

    `choice(…)`, `a,b` and `glob(…)` become categorical; `range(…)` excludes its end as everywhere in Hydra;
    `interval(a,b)` is a float, `int(interval(a,b))` an integer from a to b; `tag(log,…)` makes either logarithmic.

    Raises:
        UserError: a tag or a range that means nothing here.
    """
    parser = OverridesParser.create(config_loader=config_loader)
    last = {override.key_or_group: override for override in parser.parse_overrides(list(lines))}
    space = SearchSpace()
    for override in last.values():
        if override.is_sweep_override():
            key = override.get_key_element()
            space.distributions[key], space.containers[key] = _distribution(override)
        else:
            space.fixed.append(_fixed(override))
    return space


def _fixed(override: Override) -> str:
    if override.is_delete():
        return str(override.input_line)
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _distribution(override: Override) -> tuple[BaseDistribution, set[str]]:
    sweep, key = override.value(), override.key_or_group
    tags: set[str] = getattr(sweep, "tags", set())
    if unknown := sorted(tags - {"log"}):
        raise UserError(f"{override.input_line}: tag {', '.join(unknown)} means nothing here; there is only log.")
    log = "log" in tags
    try:
        if isinstance(sweep, IntervalSweep):
            low, high = sweep.start, sweep.end
            if isinstance(low, int) and isinstance(high, int):
                return IntDistribution(low, high, log=log), set()
            return FloatDistribution(float(low), float(high), log=log), set()  # type: ignore[arg-type]
        if isinstance(sweep, RangeSweep):
            low, last, step = _range(sweep)
            if isinstance(step, int) and isinstance(low, int):
                return IntDistribution(low, int(last), step=step, log=log), set()
            return FloatDistribution(low, last, step=step, log=log), set()
        values = [value.text if isinstance(value, QuotedString) else value for value in override.sweep_iterator()]
        texts = {text for text in map(_text_of_container, values) if text}
        choices = [_text_of_container(value) or value for value in values]
        if log:
            raise ValueError("tag(log, …) belongs to interval(…) or range(…)")
        return CategoricalDistribution(choices), texts  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"{key} in the search space, {override.input_line}: {error}") from error


def _range(sweep: RangeSweep) -> tuple[Any, Any, Any]:
    """First value, last value (Hydra leaves out the stop), and step; upwards also where the range goes down."""
    start, stop, step = sweep.start, sweep.stop, sweep.step
    assert start is not None and stop is not None  # noqa: PT018
    count = math.ceil(round((stop - start) / step, 9)) if step else 0
    if count < 1:
        raise ValueError("this range is empty")
    last = Decimal(str(start)) + (count - 1) * Decimal(str(step))  # 0.7 + 0.1 is less than 0.8 in binary
    ends = sorted((start, int(last) if isinstance(start, int) and isinstance(step, int) else float(last)))
    return ends[0], ends[1], abs(step)


def _text_of_container(value: Any) -> str | None:
    """A list or dict as it was written; None for anything else."""
    return Override._get_value_element_as_str(value) if isinstance(value, list | dict) else None
