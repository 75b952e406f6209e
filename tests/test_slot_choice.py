"""Slots that begin anew or are left out, of every command that gives a table more rows."""

import json

import numpy as np
import pytest

import tf1_embed
from support.tables import assert_same, counting_rows, load_checkpoint, save_checkpoint
from tf1_embed.cli import main

AVERAGE = "e/ExponentialMovingAverage"
POWERS = {"beta1_power": np.float32(0.9**500), "beta2_power": np.float32(0.999**500)}
FIRST_POWERS = {"beta1_power": np.float32(0.9), "beta2_power": np.float32(0.999)}


def values_of(num_rows, slots=("e/Adam", "e/Adam_1", AVERAGE)):
    """Returns a table, its slot variables of other numbers, and what counts their steps."""
    values = {
        "e": counting_rows(num_rows),
        "other": counting_rows(2),
        "other/Adam": np.ones(2, "f"),
    }
    for start, name in enumerate(slots, start=1):
        values[name] = counting_rows(num_rows, start=100 * start)
    return {**values, **POWERS}


@pytest.fixture(params=["grow", "merge", "apply"])
def command(request, tmp_path):
    """Returns the words of a command line that makes 6 rows of 4, and the tests' `values_of`."""

    def make(*more):
        names = ("e/Adam", "e/Adam_1", AVERAGE, *more)
        base = save_checkpoint(tmp_path / "base", values_of(4, names))
        if request.param == "grow":
            return f"grow {base} --table e --rows 2 --only-tables".split()
        whole = values_of(6, names)
        if request.param == "apply":
            grown = save_checkpoint(tmp_path / "grown", whole)
            tf1_embed.extract_delta(base, grown, ["e"], tmp_path / "delta", also=[])
            return ["delta", "apply", base, str(tmp_path / "delta")]
        split = {"e": whole["e"][:4], "e_new_rows": whole["e"][4:], **POWERS}
        split.update((f"e_new_rows{name[1:]}", whole[name][4:]) for name in names)
        split.update((name, whole[name]) for name in ("other", "other/Adam"))
        trained = save_checkpoint(tmp_path / "trained", split)
        return ["merge", trained, "--table", "e", "--base", base]

    return make


def run(arguments, out, *options):
    assert main([*arguments, "--out", str(out), *options]) == 0
    return load_checkpoint(out)


def test_slots_are_left_out_and_that_is_said(command, tmp_path, capsys):
    # What the optimizer of a slot begins with need not be known.
    arguments = command("e/gizmo")
    given = ["--slot-value", "gizmo=1"]
    usual = run(arguments, tmp_path / "usual", *given)
    capsys.readouterr()
    found = run(arguments, tmp_path / "out", "--without-slots")
    text = capsys.readouterr().out
    expected = {name: usual[name] for name in ("other", "other/Adam", AVERAGE)}
    assert_same({name: found[name] for name in expected}, expected)
    assert set(found) == {"e", *expected, *POWERS}
    assert found["e"].shape == (6, 2)
    assert_same({name: found[name] for name in POWERS}, FIRST_POWERS)
    assert text.count("left out, as slots are; a Saver that restores the rest lacks it too") == 3
    run(arguments, tmp_path / "out", "--without-slots", "--force", "--json")
    tensors = json.loads(capsys.readouterr().out)["tensors"]
    noted = [each for each in tensors if "left out, as slots are" in str(each["note"])]
    assert len(noted) == 3
    assert all(each["new_shape"] is None for each in noted)
    # No value of what is left out.
    assert main([*arguments, "--out", str(tmp_path / "no"), "--without-slots", *given]) == 2
    assert "no such slot variable" in capsys.readouterr().err


def test_slots_of_all_rows_begin_anew(command, tmp_path):
    arguments = command()
    usual = run(arguments, tmp_path / "usual")
    found = run(arguments, tmp_path / "out", "--reset-slots", "--slot-value", "Adam_1=0.25")
    assert set(found) == set(usual)
    expected = {name: usual[name] for name in ("other", "other/Adam", AVERAGE)}
    expected.update({"e/Adam": np.zeros([6, 2], "f"), "e/Adam_1": np.full([6, 2], 0.25, "f")})
    assert_same({name: found[name] for name in expected}, expected)
    assert_same({name: found[name] for name in POWERS}, FIRST_POWERS)
    assert_same({"e": found["e"][:4]}, {"e": counting_rows(4)})


def test_one_of_the_two_at_most(command, tmp_path, capsys):
    arguments = [*command(), "--out", str(tmp_path / "out"), "--reset-slots", "--without-slots"]
    with pytest.raises(SystemExit):
        main(arguments)
    assert "not allowed with argument --reset-slots" in capsys.readouterr().err


@pytest.mark.parametrize("function", ["grow", "merge", "apply"])
def test_one_of_the_two_at_most_in_python(tmp_path, function):
    base = save_checkpoint(tmp_path / "base", values_of(4))
    grown = save_checkpoint(tmp_path / "grown", values_of(6))
    split = save_checkpoint(
        tmp_path / "split", {"e": counting_rows(4), "e_new_rows": counting_rows(2)}
    )
    tf1_embed.extract_delta(base, grown, ["e"], tmp_path / "delta", also=[])
    call, options = {
        "grow": (tf1_embed.grow_checkpoint, {"num_new_rows": 2, "also": []}),
        "merge": (tf1_embed.merge_checkpoint, {}),
        "apply": (tf1_embed.apply_delta, {}),
    }[function]
    given = {"grow": (base, ["e"]), "merge": (split, ["e"]), "apply": (base, tmp_path / "delta")}
    with pytest.raises(ValueError, match="give `reset_slots` or `without_slots`"):
        call(*given[function], tmp_path / "out", reset_slots=True, without_slots=True, **options)


def test_a_delta_without_slots_says_so(tmp_path, capsys):
    base = save_checkpoint(tmp_path / "base", values_of(4))
    grown = save_checkpoint(tmp_path / "grown", values_of(6))
    delta = str(tmp_path / "delta")
    of = ["--table", "e", "--without-slots"]
    assert main(["delta", "extract", base, grown, *of, "--out", delta]) == 0
    text = capsys.readouterr().out
    assert "e/Adam: has slots of the new rows, and is left out: once applied, they begin" in text
    assert set(load_checkpoint(delta)) == {"e"}
