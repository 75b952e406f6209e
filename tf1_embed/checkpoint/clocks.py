"""The clocks of optimizers in a checkpoint: what counts their steps, and so corrects their slots.

Adam's slots begin at zero, and are too small at first; how much too small, it tells from the powers
of its betas, which it multiplies up in `beta1_power` and `beta2_power`. Those of Keras count in
`iter`. A clock is of all rows, so that in a checkpoint of a long training it says that no slot
needs to be corrected, while those of new rows are zeros again: their steps would be 3 to 6.6 times
the learning rate. So where rows begin anew, the clock does:

    steps over learning rate, constant gradient    1st   2nd   3rd  …  12th
    a table of its own                             1.0   1.0   1.0      1.0
    new rows, clock of step 3000                   3.1   4.1   4.8      6.4
    new rows, clock anew                           1.0   1.0   1.0      1.0
    trained beside them, clock anew                .32   .24   .20      .15, then back to 1.0

What trains on beside new rows steps less far at first, but never farther than before; only after a
training of fewer than 100 steps up to twice as far, which is said. Under AdaMax, whose second slot
is not corrected, it would be ten times as far: there, and where Keras does not tell what the
optimizer is, nothing is decided for the user.

Source: Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, section 3.
"""

from __future__ import annotations

import math
import re
from typing import Any, Iterable, Mapping, NamedTuple

import numpy as np

from tf1_embed.checkpoint.files.meta import read_initial_values
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.rewrite import Change
from tf1_embed.checkpoint.slots import Slot, variable_name

CLOCKS = ("fresh", "keep")

_POWER = re.compile(r"(?:(.*)/)?beta([12])_power((?:_\d+)?)\Z")
_COUNT = re.compile(r"(.+)/(iter|momentum_cache)\Z")
_DEFAULT_BETAS = {1: 0.9, 2: 0.999}
# Kinds of slots, by the first part of their names, whose optimizers have no clock.
_WITHOUT_CLOCK = frozenset(
    "Adadelta Adagrad ExponentialMovingAverage Ftrl Momentum ProximalAdagrad RMSProp adam lamb "
    "accum accumulator average gradient linear mg momentum rms".split()
)


class Clock(NamedTuple):
    """A number that counts the steps of an optimizer.

    Attributes:
      name: string, its name in the checkpoint.
      value: float, as it is.
      optimizer: string, what the clocks of one optimizer have in common in their names.
      kind: string, "beta1_power", "beta2_power", "iter" or "momentum_cache".
    """

    name: str
    value: float
    optimizer: str
    kind: str


def find_clocks(reader: CheckpointReader) -> list[Clock]:
    """Finds the clocks in a checkpoint, by their names.

    Args:
      reader: `CheckpointReader`.
    """
    names = {variable_name(name): name for name in reader.names() if reader.shape(name) == ()}
    found = []
    for stem, name in names.items():
        power, count = _POWER.match(stem), _COUNT.match(stem)
        if power:
            optimizer, kind = f"{power.group(1)} {power.group(3)}", f"beta{power.group(2)}_power"
        # Other variables may be called `iter`; beside that of Keras' optimizers are their settings.
        elif count and f"{count.group(1)}/beta_1" in names:
            optimizer, kind = count.groups()
        else:
            continue
        found.append(Clock(name, _scalar(reader, name), optimizer, kind))
    return found


def fresh_clocks(
    reader: CheckpointReader,
    slots: Iterable[Slot],
    clocks: str | None = None,
    values: Mapping[str, float | str] | None = None,
) -> dict[str, Change]:
    """Returns the changes that let clocks begin anew, where optimizers of some slots have them.

    Args:
      reader: `CheckpointReader`.
      slots: iterable of `Slot`, those that begin anew in some rows.
      clocks: "fresh", or "keep" for no changes; None for "fresh", but an error where others may
        step up to 10 times too far for that (AdaMax, or unknown).
      values: dict from a clock's name, whole or the last part of it, to what it begins with, where
        the checkpoint does not tell.

    Returns:
      dict from name to `Change`. Where an optimizer of the slots has a clock, all clocks are in it:
      which is whose, their names do not tell.

    Raises:
      ValueError: if `clocks` is none of these, or must be given, or it is not known what a clock
        begins with.
    """
    if clocks not in (None, *CLOCKS):
        raise ValueError(f'`clocks` must be "fresh" or "keep", got {clocks!r}')
    if clocks == "keep" or not any(_may_have_clock(slot.kind) for slot in slots):
        return {}
    found = find_clocks(reader)
    powers = [clock.name for clock in found if clock.kind.endswith("power")]
    begun = read_initial_values(reader.prefix, powers) if powers else {}
    first_values = {}
    for clock in found:
        if clocks is None and not _is_adam(clock, found):
            raise ValueError(
                f"{clock.name!r} counts the steps of an optimizer that may be AdaMax. If it goes "
                f"on, new rows take a tenth of their steps at first; if it begins anew, what "
                f'trains beside them takes up to 10 times its steps. Choose: clocks="fresh" '
                f'(--clocks fresh), as where nothing else trains, or clocks="keep" (--clocks keep)'
            )
        value = _given(clock, values or {})
        if value is None:
            value = begun.get(clock.name)
        if value is None:
            value = _first_value(reader, clock, found)
        first_values[clock] = value
    return {clock.name: _set(reader, clock, first_values) for clock in found}


def _may_have_clock(kind: str) -> bool:
    return re.split(r"[_/]", kind)[0] not in _WITHOUT_CLOCK


def _is_adam(clock: Clock, clocks: list[Clock]) -> bool:
    """Tells whether a clock corrects both slots, so that steps are shorter if it begins anew."""
    if clock.kind.endswith("power"):
        return len([each for each in clocks if each.optimizer == clock.optimizer]) == 2
    # Keras' optimizers name their scope by their class.
    return re.search(r"(?:^|/)n?adam(?:_\d+)?\Z", clock.optimizer, re.IGNORECASE) is not None


def _given(clock: Clock, values: Mapping[str, float | str]) -> float | None:
    stem = variable_name(clock.name)
    for key in (clock.name, stem, stem.split("/")[-1]):
        if key in values:
            return float(values[key])
    return None


def _first_value(reader: CheckpointReader, clock: Clock, clocks: list[Clock]) -> float:
    """Returns what a clock begins with; raises ValueError if it is not known."""
    if clock.kind == "momentum_cache":
        return 1.0
    if clock.kind == "iter":
        if _has_schedule(reader, clock):
            raise _unknown(
                clock,
                "its learning rate depends on it too, so that what trains on would begin with the "
                "larger steps of its beginning",
                "0",
            )
        return 0.0
    number = int(clock.kind[4])
    betas = _betas(
        {int(each.kind[4]): each.value for each in clocks if each.optimizer == clock.optimizer},
        _global_step(reader),
    )
    if number not in betas:
        raise _unknown(
            clock,
            f"it begins with beta{number}, which no saved graph ({reader.prefix}.meta) tells, nor "
            f"the {clock.value:g} that it is by now",
            str(_DEFAULT_BETAS[number]),
        )
    return betas[number]


def _unknown(clock: Clock, why: str, such_as: str) -> ValueError:
    last = variable_name(clock.name).split("/")[-1]
    return ValueError(
        f"{clock.name!r} counts the steps of an optimizer, and must begin anew with the slots of "
        f"new rows, or these step up to 6 times too far; but {why}. Say what it begins with: "
        f"slot_values={{{last!r}: {such_as}}} (--slot-value {last}={such_as}), or let it go on: "
        f'clocks="keep" (--clocks keep)'
    )


def _has_schedule(reader: CheckpointReader, clock: Clock) -> bool:
    """Tells whether the learning rate of an optimizer of Keras may depend on its clock."""
    names = {variable_name(name): name for name in reader.names()}
    # A learning rate that follows a schedule is not among the variables.
    if f"{clock.optimizer}/learning_rate" not in names:
        return True
    decay = names.get(f"{clock.optimizer}/decay")
    # Nadam calls `decay` what its momentum follows, not its learning rate.
    is_nadam = f"{clock.optimizer}/momentum_cache" in names
    return decay is not None and not is_nadam and _scalar(reader, decay) != 0


def _betas(powers: dict[int, float], step: int | None) -> dict[int, float]:
    """Returns the betas whose powers these are, as far as the numbers agree.

    Example:
      >>> _betas({1: 0.9 ** 50, 2: 0.999 ** 50}, step=None)
      {1: 0.9, 2: 0.999}
      >>> _betas({1: 0.8 ** 50, 2: 0.99 ** 50}, step=49)
      {1: 0.8, 2: 0.99}
      >>> _betas({1: 0.0, 2: 0.999 ** 5001}, step=5000)
      {2: 0.999}
    """
    # Smaller powers have lost digits in single precision.
    logs = {each: math.log(power) for each, power in powers.items() if 1e-37 < power < 1}
    counts = {each: log / math.log(_DEFAULT_BETAS[each]) for each, log in logs.items()}
    if len(counts) == 2 and math.isclose(counts[1], counts[2], rel_tol=1e-3, abs_tol=0.1):
        return dict(_DEFAULT_BETAS)
    if step is None:
        return {}
    # The global step is no proof by itself: some programs add to it twice. Of beta1, a count that
    # is wrong would make no round number.
    betas = {each: math.exp(log / (step + 1)) for each, log in logs.items()}
    rounded = {each: round(beta, 4) for each, beta in betas.items()}
    if 1 in betas and math.isclose(betas[1], rounded[1], abs_tol=2e-6):
        return {each: rounded[each] for each in betas if abs(betas[each] - rounded[each]) < 2e-6}
    if 2 in counts and math.isclose(counts[2], step + 1, rel_tol=1e-3):
        return {2: _DEFAULT_BETAS[2]}
    return {}


def _global_step(reader: CheckpointReader) -> int | None:
    """Returns the global step, None if there is none or more than one."""
    steps = [
        int(_scalar(reader, name))
        for name in reader.names()
        if reader.shape(name) == () and variable_name(name).split("/")[-1] == "global_step"
    ]
    return steps[0] if len(steps) == 1 and steps[0] >= 0 else None


def _scalar(reader: CheckpointReader, name: str) -> Any:
    """Returns the value of a tensor without dims."""
    ((_, _, chunks),) = reader.raw(name)
    content = b"".join(chunk.tobytes() for chunk in chunks)
    return np.frombuffer(content, reader.dtype(name).numpy)[0]


def _set(reader: CheckpointReader, clock: Clock, first_values: dict[Clock, float]) -> Change:
    """Returns the `Change` that sets a clock to its first value, and says what comes of it."""
    value = first_values[clock]
    note = f"{clock.value:g} → {value:g}, begins anew as new rows do"
    share = _share(reader, clock, first_values)
    if share is not None and f"{share:.2g}" != "1":
        note += f"; what trains beside them steps {share:.2g} times as far at first"
    values = np.array([value], reader.dtype(clock.name).numpy)
    return Change(reader.dtype(clock.name), (), lambda: [values], old_shape=(), note=note)


def _share(
    reader: CheckpointReader, clock: Clock, first_values: dict[Clock, float]
) -> float | None:
    """Returns a warm slot's step once Adam's clock is anew, over its step now; None if unknown."""
    if clock.kind == "beta1_power":
        pair = {each.kind: each for each in first_values if each.optimizer == clock.optimizer}
        if "beta2_power" not in pair:
            return None
        before = [pair[kind].value for kind in ("beta1_power", "beta2_power")]
        after = [first_values[pair[kind]] for kind in ("beta1_power", "beta2_power")]
    elif clock.kind == "iter":
        names = {variable_name(name): name for name in reader.names()}
        betas = [f"{clock.optimizer}/beta_{number}" for number in (1, 2)]
        if not all(beta in names for beta in betas) or not _is_adam(clock, list(first_values)):
            return None
        after = [float(_scalar(reader, names[beta])) for beta in betas]
        before = [beta ** (float(clock.value) + 1) for beta in after]
    else:
        return None
    if not all(0 <= power < 1 for power in before + after):
        return None
    return _correction(*after) / _correction(*before)


def _correction(power1: float, power2: float) -> float:
    return math.sqrt(1 - power2) / (1 - power1)
