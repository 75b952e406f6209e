"""Random programs of `tf1-embed` commands, beside a NumPy model of what each of them must make.

A program begins with a checkpoint of a few variables and changes it step by step. The model knows
every tensor by ids, whatever its partitions; after each command the checkpoint is read by
TensorFlow and compared bit for bit, `verify` and `diff` must say what the model says, and what must
be refused must be refused. A program is its seed: `Program(seed, folder).run()`.
"""

import contextlib
import io
import json
import os
import random
from unittest import mock

import numpy as np

from tf1_embed import cli
from tf1_embed import rows as rows_module
from tf1_embed.checkpoint.files import reader as reader_module
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.files.writer import CheckpointWriter

_PARSER = cli.make_parser()

# What has the ids of the vocabulary, and on which axis.
AXES = {"e": 0, "bias": 0, "p": 1}
# The slots of optimizers, and what they put into new rows; None is what the row itself has.
SLOTS = {
    "none": {},
    "adagrad": {"Adagrad": 0.1},
    "adam": {"Adam": 0.0, "Adam_1": 0.0},
    "momentum": {"Momentum": 0.0},
    "average": {"ExponentialMovingAverage": None},
}
CLOCKS = {"beta1_power": 0.9, "beta2_power": 0.999}


class State:
    """A checkpoint, and what must be in it.

    Attributes:
      prefix: string.
      arrays: dict from name to array, by ids.
      count: dict from name to the number of partitions, of what has more than one.
      strategy: "mod" or "div".
      tokens: list of strings, those of the rows that are not reserved.
      split: None; or ("old", N) or ("rows", ids), how `e` is in two variables.
    """

    def __init__(self, arrays, strategy, tokens):
        self.prefix, self.arrays, self.count = None, arrays, {}
        self.strategy, self.tokens, self.split = strategy, tokens, None

    def copy(self, **arrays):
        """Returns the same with other arrays, of a checkpoint that is not written yet."""
        new = State({**self.arrays, **arrays}, self.strategy, list(self.tokens))
        new.count, new.split = dict(self.count), self.split
        return new

    def placed(self, name):
        """Returns a tensor as it is stored."""
        rows, count = self.arrays[name], self.count.get(name, 1)
        if count == 1 or self.strategy == "div":
            return rows
        return np.concatenate([rows[part::count] for part in range(count)])


class Program:
    """A random program.

    Attributes:
      lines: list of strings, the commands so far.
    """

    def __init__(self, seed, folder, num_steps=6, train=None):
        """Takes a folder for its files, and `train(program)`, which trains with TensorFlow."""
        self.random, self.numpy = random.Random(seed), np.random.RandomState(seed)
        self.folder, self.num_steps, self.train = str(folder), num_steps, train
        self.lines, self._number = [], 0
        self.reserved = self.random.choice([(0, 0), (0, 0), (1, 0), (0, 1), (1, 2)])
        self.slots = SLOTS[self.random.choice(sorted(SLOTS))]
        self.others = self.random.choice([[], ["bias"], ["p"], ["bias", "p"]])
        self.dim = self.random.choice([1, 2])
        dtypes = ["float32"] if train else ["float32", "float64"]
        self.dtype = np.dtype(self.random.choice(dtypes))
        # Tables of a few rows in many chunks.
        self.chunk_bytes = self.random.choice([16, 40, 4 << 20])
        self.near_bytes = self.random.choice([0, 24, 16 << 10])
        self._next_token = 0
        self.state = self._begin()
        # What a delta may be extracted between.
        self.before_growth = None
        # The last certificate: its path, the ids of `e` that it is of, and their rows.
        self.certificate = None

    def run(self):
        """Runs it; raises an AssertionError that has all commands if one does what it must not."""
        try:
            with contextlib.ExitStack() as patches:
                for place, name, value in [
                    (rows_module, "CHUNK_BYTES", self.chunk_bytes),
                    (reader_module, "CHUNK_BYTES", self.chunk_bytes),
                    (reader_module, "_NEAR_BYTES", self.near_bytes),
                    # What takes the time: nobody pulls the plug, and options stay the same.
                    (os, "fsync", lambda descriptor: None),
                    (cli, "make_parser", lambda: _PARSER),
                ]:
                    patches.enter_context(mock.patch.object(place, name, value))
                self.check(self.state)
                for _ in range(self.num_steps):
                    self._step()
        except AssertionError as error:
            raise AssertionError("\n".join([*self.lines, str(error)])) from error

    def _step(self):
        if self.state.split:
            steps = [self.merge, self.merge, self.touch, self.refuse_split]
        else:
            steps = [self.grow, self.grow_by_vocabulary, self.shrink, self.shrink_by_vocabulary]
            steps += [self.repartition, self.split, self.touch]
            if self.before_growth is not None:
                steps += [self.delta] * 3
            if self.train is not None:
                steps += [self.train_on] * 2
        self.random.choice(steps)()

    # What a program begins with.

    def _begin(self):
        first, last = self.reserved
        tokens = [self._token() for _ in range(self.random.randint(2, 9))]
        size = first + len(tokens) + last
        arrays = {"other": self._bits([2, 2, 2]), "global_step": np.int64(6)}
        for name in ["e", *self.others]:
            shape = {"e": [size, self.dim], "bias": [size], "p": [self.dim, size]}[name]
            arrays[name] = self._bits(shape)
            for kind, value in self.slots.items():
                arrays[f"{name}/{kind}"] = self._first_slots(kind, value, shape)
        if "Adam" in self.slots:
            arrays.update((name, np.float32(beta**7)) for name, beta in CLOCKS.items())
        state = State(arrays, self.random.choice(["mod", "div"]), tokens)
        count = self.random.choice([1, 1, 2, 3])
        if count > 1 and count <= size:
            self._partition(state, ["e"], count)
            if self.random.random() < 0.5:
                self._partition(state, ["bias"], count)
        state.prefix = self._prefix()
        self.write(state)
        return state

    def _first_slots(self, kind, value, shape):
        slots = self._bits(shape)
        if kind == "Adagrad":
            slots = (self.numpy.randint(1, 5, shape) / 4).astype(self.dtype)
            # Rows that were never looked up.
            slots[..., -1 if shape[0] == self.dim and len(shape) == 2 else 0] = value
            if self.random.random() < 0.5:
                slots[slots == 0.25] = value
        return slots

    def _bits(self, shape):
        """Returns floats of any bits: NaNs, infinities, zeros of both signs among them."""
        values = self.numpy.standard_normal(shape).astype(self.dtype)
        if self.train is None:
            special = np.array([np.nan, -np.nan, np.inf, -0.0, 0.0, 1e-45, 65504], self.dtype)
            chosen = self.numpy.rand(*shape) < 0.3
            values[chosen] = self.numpy.choice(special, int(chosen.sum()))
        return values

    def _token(self):
        self._next_token += 1
        return f"t{self._next_token}"

    def _partition(self, state, names, count):
        for name in state.arrays:
            if name.split("/")[0] in names and name in state.arrays:
                state.count[name] = count
                if count == 1:
                    del state.count[name]

    # Files.

    def _prefix(self):
        self._number += 1
        return os.path.join(self.folder, f"c{self._number}")

    def write(self, state):
        """Writes the checkpoint of a state."""
        with CheckpointWriter(state.prefix) as writer:
            for name in sorted(state.arrays):
                values = np.asarray(state.placed(name))
                count, slices = state.count.get(name), None
                if count is not None:
                    sizes = [len(each) for each in np.array_split(values, count)]
                    stops = np.cumsum(sizes).tolist()
                    slices = list(zip([0, *stops], stops))
                writer.add(name, values.dtype, values.shape, [values], slices)

    def _vocabulary(self, tokens):
        self._number += 1
        path = os.path.join(self.folder, f"v{self._number}")
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{token}\n" for token in tokens)
        return path

    def _npy(self, values):
        self._number += 1
        path = os.path.join(self.folder, f"n{self._number}.npy")
        np.save(path, values)
        return path

    # Commands.

    def command(self, *arguments, status=0):
        """Runs a command, which must end with a status; returns its JSON, or the error's text."""
        arguments = [str(each) for each in arguments]
        self.lines.append("tf1-embed " + " ".join(arguments))
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            got = cli.main([*arguments, "--json"])
        assert got == status, f"status {got} in the place of {status}: {err.getvalue()}"
        if status == 2:
            assert err.getvalue().startswith("tf1-embed: "), err.getvalue()
            return err.getvalue()
        return json.loads(out.getvalue())

    def make(self, state, *arguments, status=0, certified=True, kept=None):
        """Runs a command that writes a checkpoint; compares that with the state it must be of.

        Args:
          state: `State`.
          *arguments: those of the command, but for --out.
          status: its exit status.
          certified: whether a certificate is written, as well.
          kept: ids of `e` that it is of, empty if it is not of `e`; default: all.
        """
        state.prefix = self._prefix()
        told = self.command(*arguments, "--out", state.prefix, status=status)
        if status:
            assert not os.path.exists(f"{state.prefix}.index"), "refused, but written"
            return told
        self.check(state)
        self._diff(self.state, state)
        self._verify_certificate(state)
        if certified:
            rows = state.arrays["e"]
            kept = np.arange(len(rows)) if kept is None else np.array(kept, int)
            if kept.size:
                self.certificate = (f"{state.prefix}.rows.json", kept, rows[kept])
            strategy = self._strategy(state)
            self.command("verify", f"{state.prefix}.rows.json", state.prefix, *strategy)
        return told

    def check(self, state):
        """Compares the checkpoint, as TensorFlow reads it, with what must be in it."""
        import tensorflow.compat.v1 as tf

        found = tf.train.load_checkpoint(state.prefix)
        names = set(found.get_variable_to_shape_map())
        assert names == set(state.arrays), f"{names ^ set(state.arrays)} are in one of the two"
        with CheckpointReader(state.prefix) as reader:
            for name in sorted(names):
                got, expected = found.get_tensor(name), np.asarray(state.placed(name))
                assert np.dtype(got.dtype) == expected.dtype, name
                assert got.shape == expected.shape, f"{name}: {got.shape}, not {expected.shape}"
                assert got.tobytes() == np.ascontiguousarray(expected).tobytes(), (
                    f"{name}: got\n{got}\nexpected\n{expected}"
                )
                slices = len(reader.slices(name)) if got.shape else 1
                assert slices == state.count.get(name, 1), f"{name} has {slices} partitions"

    def _verify_certificate(self, state):
        """Compares the rows of the last certificate, by their ids, whatever came of them since."""
        if self.certificate is None:
            return
        path, ids, rows = self.certificate
        found = state.arrays["e"]
        if ids.max() >= len(found):
            status = 2
        else:
            status = int(found[ids].tobytes() != rows.tobytes())
        strategy = self._strategy(state)
        self.command("verify", path, state.prefix, "--table", "e", *strategy, status=status)

    def _diff(self, old, new):
        """Compares what `diff` says of every variable."""
        expected = {}
        for name in {**old.arrays, **new.arrays}:
            one, other = old.arrays.get(name), new.arrays.get(name)
            if one is None or other is None:
                expected[name] = ("new", None) if one is None else ("missing", None)
                continue
            one, other = np.asarray(one), np.asarray(other)
            grown = [i for i, pair in enumerate(zip(one.shape, other.shape)) if pair[0] != pair[1]]
            if one.shape == other.shape:
                changed = _num_changed(one, other, 0)
                expected[name] = ("changed" if changed else "same", changed)
            elif len(grown) == 1 and one.shape[grown[0]] < other.shape[grown[0]]:
                axis = grown[0]
                kept = np.take(other, np.arange(one.shape[axis]), axis)
                expected[name] = ("grown", _num_changed(one, kept, axis))
            else:
                expected[name] = ("changed", None)
        strategies = ["--partition-strategy", old.strategy]
        strategies += ["--new-partition-strategy", new.strategy]
        keeps = all(
            status in ("new", "same") or (status == "grown" and not changed)
            for status, changed in expected.values()
        )
        told = self.command("diff", old.prefix, new.prefix, *strategies, status=0 if keeps else 1)
        found = {each["name"]: (each["status"], each["num_changed"]) for each in told}
        assert found == expected, f"diff says {found}, not {expected}"

    # What becomes of the rows.

    def _moved(self, old_ids, fresh, reset=False):
        """Returns the state with rows of other ids.

        Args:
          old_ids: int array, the old id of each row, -1 of a new one.
          fresh: dict from "e", "bias" and "p" to the values of new rows, [num_new, ...].
          reset: whether slots of old rows are as those of new ones.
        """
        old_ids, is_new, arrays = np.asarray(old_ids, int), np.asarray(old_ids) < 0, {}
        for name, values in self.state.arrays.items():
            owner, _, kind = name.partition("/")
            if owner not in AXES:
                continue
            rows = np.moveaxis(values, AXES[owner], 0)[np.maximum(old_ids, 0)].copy()
            if is_new.any() or reset:
                value = self._slot_value.get(name, self.slots[kind]) if kind else None
                begun = fresh[owner] if value is None else np.full(1, value).astype(self.dtype)
                rows[is_new] = begun
                if reset and kind and value is not None:
                    rows[~is_new] = begun
            arrays[name] = np.ascontiguousarray(np.moveaxis(rows, 0, AXES[owner]))
        return self.state.copy(**arrays)

    def _grow(self, old_ids, tokens, options, dropped=0):
        """Grows, by options that say how; returns whether it could be done."""
        old_ids = np.asarray(old_ids)
        num_new, first, last = int((old_ids < 0).sum()), *self.reserved
        arguments = ["grow", self.state.prefix, "--table", "e", *options, *self._where(self.state)]
        if self.reserved != (0, 0):
            arguments += ["--reserved", f"first:{first},last:{last}"]
        for name in self.others:
            arguments += ["--also", f"{name}:{AXES[name]}" if AXES[name] else name]
        fresh, of_values = self._fresh(num_new)
        arguments += of_values
        status = 0 if self._choose_slot_values(arguments) else 2
        if max(self.state.count.values(), default=1) > old_ids.size:
            status = 2
        reset = self.random.random() < 0.1
        clocks = {}
        if "Adam" in self.slots:
            keep = self.random.random() < 0.5
            arguments += ["--clocks", "keep" if keep else "fresh"]
            clocks = {} if keep else {name: np.float32(beta) for name, beta in CLOCKS.items()}
        arguments += ["--reset-slots"] if reset else []
        if status == 2:
            self.make(self.state.copy(), *arguments, status=2)
            return False
        state = self._moved(old_ids, fresh, reset)
        state.arrays.update(clocks)
        state.tokens = tokens
        told = self.make(state, *arguments, kept=np.flatnonzero(old_ids >= 0))
        kept = old_ids[old_ids >= 0]
        moved = int((kept != np.flatnonzero(old_ids >= 0)).sum())
        self._check_counts(told, kept.size, moved, dropped, num_new)
        return state

    def _check_counts(self, told, kept, moved, dropped, new):
        expected = {"kept": kept, "moved": moved, "dropped": dropped, "new": new}
        assert told["rows"] == {"e": expected}, f"{told['rows']} in the place of {expected}"

    def _fresh(self, num_new):
        """Returns the values of new rows by name, and the options that say so."""
        shapes = {"e": [num_new, self.dim], "bias": [num_new], "p": [num_new, self.dim]}
        way = self.random.choice(["zeros", "constant", "copy", "array"])
        fresh, arguments = {}, []
        for name in ["e", *self.others]:
            if way == "array":
                fresh[name] = self._bits(shapes[name])
                arguments += ["--initializer", f"{name}={self._npy(fresh[name])}"]
            elif way == "copy":
                size = self.state.arrays["e"].shape[0]
                chosen = self.random.randrange(size)
                rows = np.moveaxis(self.state.arrays[name], AXES[name], 0)
                fresh[name] = np.repeat(rows[chosen : chosen + 1], num_new, axis=0)
                arguments += ["--initializer", f"{name}=copy_of:{chosen}"]
            else:
                value = 0.0 if way == "zeros" else 0.1
                fresh[name] = np.full(shapes[name], value).astype(self.dtype)
        if way in ("zeros", "constant"):
            arguments += ["--initializer", "zeros" if way == "zeros" else "constant:0.1"]
        return fresh, arguments

    def _choose_slot_values(self, arguments):
        """Says what slots begin with, or not; returns whether that is known then."""
        self._slot_value = {}
        if "Adagrad" not in self.slots:
            return True
        names = [f"{name}/Adagrad" for name in ["e", *self.others]]
        if self.random.random() < 0.5:
            arguments += ["--slot-value", "Adagrad=0.5"]
            self._slot_value = dict.fromkeys(names, 0.5)
            return True
        for name in names:
            slots = self.state.arrays[name].astype(np.float64)
            least = slots.min()
            rows = slots.reshape(slots.shape[0], -1)
            is_least = (rows == least).all(axis=1).sum() * rows.shape[1] > 1
            if slots.ndim == 2:
                is_least |= (slots == least).all(axis=0).sum() * slots.shape[0] > 1
            if abs(least - 0.1) > 0.001 and not is_least:
                return False
            self._slot_value[name] = 0.1 if abs(least - 0.1) <= 0.001 else least
        return True

    def _strategy(self, state):
        return ["--partition-strategy", state.strategy] if state.count else []

    _where = _strategy

    def _verify(self, old, new, old_ids, *options):
        """Compares what `verify` says of rows whose old ids are given."""
        old_ids = np.asarray(old_ids)
        arguments = ["--table", "e"]
        for name in self.others:
            arguments += ["--table", f"{name}:{AXES[name]}" if AXES[name] else name]
        is_old = old_ids >= 0
        expected = {}
        for name in ["e", *self.others]:
            one, other = (np.moveaxis(each.arrays[name], AXES[name], 0) for each in (old, new))
            pairs = list(zip(one[old_ids[is_old]], other[is_old]))
            changed = sum(x.tobytes() != y.tobytes() for x, y in pairs)
            expected[f"{name}:1" if AXES[name] else name] = (len(pairs), changed)
        strategies = ["--partition-strategy", old.strategy]
        strategies += ["--new-partition-strategy", new.strategy]
        status = 1 if any(changed for _, changed in expected.values()) else 0
        told = self.command(
            "verify", old.prefix, new.prefix, *arguments, *options, *strategies, status=status
        )
        found = {each["table"]: (each["num_rows"], each["num_changed"]) for each in told}
        assert found == expected, f"verify says {found}, not {expected}"

    def _by_reserved(self):
        first, last = self.reserved
        return ["--reserved", f"first:{first},last:{last}"] if self.reserved != (0, 0) else []

    # The steps.

    def grow(self):
        """Appends rows, before the last reserved ones."""
        last = self.reserved[1]
        size, num_new = self.state.arrays["e"].shape[0], self.random.randint(1, 4)
        old_ids = [*range(size - last), *[-1] * num_new, *range(size - last, size)]
        tokens = self.state.tokens + [self._token() for _ in range(num_new)]
        grown = self._grow(old_ids, tokens, ["--rows", num_new])
        if grown:
            self._verify(self.state, grown, old_ids, *self._by_reserved())
            self.before_growth, self.state = (self.state, old_ids), grown

    def grow_by_vocabulary(self):
        """Grows to a vocabulary, with its tokens in any order."""
        first, last = self.reserved
        old = self.state.tokens
        kept = list(old)
        in_order = self.random.random() < 0.4
        if self.random.random() < 0.4 and len(old) > 1 and not in_order:
            kept = self.random.sample(old, self.random.randint(1, len(old)))
        tokens = kept + [self._token() for _ in range(self.random.randint(1, 4))]
        if in_order:
            # New ones between the old ones.
            keys = {token: (i, 0) for i, token in enumerate(kept)}
            key = {token: (self.random.randrange(-1, len(kept)), 1) for token in tokens}
            tokens.sort(key=lambda token: keys.get(token, key[token]))
        else:
            self.random.shuffle(tokens)
        options = ["--old-vocab", self._vocabulary(old), "--new-vocab", self._vocabulary(tokens)]
        dropped = len(old) - len(kept)
        if dropped and self.random.random() < 0.3:
            arguments = ["grow", self.state.prefix, "--table", "e", *options, "--only-tables"]
            told = self.make(
                self.state.copy(),
                *arguments,
                *self._where(self.state),
                *self._by_reserved(),
                status=2,
            )
            assert f"lacks {dropped} of {len(old)} old tokens" in told, told
            return
        options += ["--drop-missing"] if dropped else []
        old_ids = self._old_ids(tokens)
        grown = self._grow(old_ids, tokens, options, dropped)
        if grown:
            self._verify(self.state, grown, old_ids, *options, *self._by_reserved())
            self.before_growth = None if dropped or not in_order else (self.state, old_ids)
            self.state = grown

    def _old_ids(self, tokens):
        first, last = self.reserved
        size = self.state.arrays["e"].shape[0]
        ids = {token: first + place for place, token in enumerate(self.state.tokens)}
        old_ids = [*range(first), *(ids.get(token, -1) for token in tokens)]
        return [*old_ids, *range(size - last, size)]

    def shrink(self):
        """Takes rows away, by ids or the last ones."""
        first, last = self.reserved
        num_tokens = len(self.state.tokens)
        # One token stays, for the next vocabulary; to take all rows away is refused.
        most = num_tokens - (self.reserved != (0, 0))
        if not most:
            return
        if self.random.random() < 0.5:
            number = self.random.randint(1, most)
            gone = list(range(num_tokens - number, num_tokens))
            options = ["--last", number, *self._by_reserved()]
        else:
            gone = sorted(self.random.sample(range(num_tokens), self.random.randint(1, most)))
            options = ["--rows", ",".join(str(first + each) for each in gone)]
        tokens = [token for i, token in enumerate(self.state.tokens) if i not in gone]
        removed = ",".join(str(first + each) for each in gone)
        self._shrink(tokens, options, ["--removed-rows", removed])

    def shrink_by_vocabulary(self):
        """Takes away the rows of tokens that a vocabulary lacks; the others take its order."""
        old = self.state.tokens
        tokens = self.random.sample(old, self.random.randint(0, len(old)))
        options = ["--old-vocab", self._vocabulary(old), "--new-vocab", self._vocabulary(tokens)]
        options += self._by_reserved()
        self._shrink(tokens, options, [*options, "--drop-missing"])

    def _shrink(self, tokens, options, of_verify):
        arguments = ["shrink", self.state.prefix, "--table", "e", *options]
        arguments += self._where(self.state)
        if self.random.random() < 0.5 and self.state.arrays["e"].shape[0] != self.dim:
            arguments += ["--also-found"]
        if "--also-found" not in arguments:
            for name in self.others:
                arguments += ["--also", f"{name}:{AXES[name]}" if AXES[name] else name]
        old_ids = self._old_ids(tokens)
        most = max(self.state.count.values(), default=1)
        if not tokens or most > len(old_ids):
            self.make(self.state.copy(), *arguments, status=2)
            return
        if self.random.random() < 0.05 and self.others:
            wrong = [
                each for each in arguments if each not in ("--also", "--also-found", "bias", "p:1")
            ]
            told = self.make(self.state.copy(), *wrong, status=2)
            assert "Say whether they shrink" in told or "on both axes" in told, told
        self._slot_value = {}
        state = self._moved(old_ids, {})
        state.tokens = tokens
        told = self.make(state, *arguments)
        size = self.state.arrays["e"].shape[0]
        moved = sum(old != new for new, old in enumerate(old_ids))
        self._check_counts(told, len(old_ids), moved, size - len(old_ids), 0)
        self._verify(self.state, state, old_ids, *of_verify)
        self.state, self.before_growth = state, None

    def repartition(self):
        """Stores tables in another number of partitions, or by another strategy."""
        names = [name for name in ("e", "bias") if name in self.state.arrays]
        strategy = self.state.strategy
        if len(names) == 2 and self.random.random() < 0.4:
            names = [self.random.choice(names)]
        elif self.random.random() < 0.5:
            strategy = {"mod": "div", "div": "mod"}[strategy]
        size, count = self.state.arrays["e"].shape[0], self.random.randint(1, 5)
        arguments = ["repartition", self.state.prefix, "--partitions", count]
        for name in names:
            arguments += ["--table", name]
        arguments += ["--partition-strategy", self.state.strategy]
        if strategy != self.state.strategy:
            arguments += ["--new-partition-strategy", strategy]
        state = self.state.copy()
        if count > size:
            told = self.make(state, *arguments, status=2)
            assert f"{size} rows in {count} partitions" in told, told
            return
        state.strategy = strategy
        self._partition(state, names, count)
        self.make(state, *arguments, kept=None if "e" in names else [])
        self._verify(self.state, state, range(size))
        # The base of a delta has partitions by the same strategy.
        self.state = state
        self.before_growth = None

    def split(self):
        """Puts trainable rows into a variable of their own."""
        size = self.state.arrays["e"].shape[0]
        if size < 2:
            return
        if self.random.random() < 0.5:
            split = ("old", self.random.randint(1, size - 1))
            options, suffix = ["--old-rows", split[1]], "_new_rows"
            ids = np.arange(split[1], size)
        else:
            ids = sorted(self.random.sample(range(size), self.random.randint(1, size - 1)))
            split = ("rows", ids)
            options, suffix = ["--trainable-rows", ",".join(map(str, ids))], "_trainable_rows"
        state = self.state.copy()
        for name in [each for each in state.arrays if each.split("/")[0] == "e"]:
            rows = state.arrays[name]
            state.arrays[f"e{suffix}{name[1:]}"] = rows[ids]
            if split[0] == "old":
                state.arrays[name] = rows[: split[1]]
        state.split = split
        self._partition(state, ["e"], 1)
        arguments = ["split", self.state.prefix, "--table", "e", *options]
        self.make(state, *arguments, *self._where(self.state), certified=False)
        self.before_split, self.before_growth, self.state = self.state, None, state

    def refuse_split(self):
        """What changes ids refuses a table that is split."""
        arguments = ["shrink", self.state.prefix, "--table", "e", "--rows", "0", "--only-tables"]
        told = self.make(self.state.copy(), *arguments, *self._where(self.state), status=2)
        assert "is split" in told or "of the 1 rows" in told or "are all 1 rows" in told, told

    def merge(self):
        """Makes one variable of two, with the slots of the checkpoint that was split or without."""
        kind, which = self.state.split
        suffix = "_new_rows" if kind == "old" else "_trainable_rows"
        arguments = ["merge", self.state.prefix, "--table", "e"]
        if kind == "rows":
            arguments += ["--trainable-rows", ",".join(map(str, which))]
        trained, way = self.state, self.random.choice(["all", "base", "initial"])
        if not self.slots or (way == "base" and kind == "old"):
            way = "all"
        if way != "all":
            # As of a graph in which frozen rows have no slots, nor have others a place.
            trained = self.state.copy()
            left_out = [f"e/{slot}" for slot in self.slots]
            if way == "base":
                left_out += self.random.sample(["other", "global_step"], self.random.randint(0, 2))
            for name in left_out:
                del trained.arrays[name]
            trained.prefix = self._prefix()
            self.write(trained)
            arguments[1] = trained.prefix
        merged = trained.copy()
        merged.split = None
        if way == "base":
            arguments += ["--base", self.before_split.prefix, *self._where(self.before_split)]
            for name, values in self.before_split.arrays.items():
                merged.arrays.setdefault(name, values)
        else:
            arguments += self._where(self.state)
        if way == "initial":
            arguments += ["--clocks", "keep"]
            for slot, value in self.slots.items():
                rows = self.state.arrays["e"]
                if value is None:
                    arguments += ["--slot-value", f"{slot}=table"]
                else:
                    arguments += ["--slot-value", f"{slot}=0.5"]
                    rows = np.full_like(rows, 0.5)
                merged.arrays[f"e/{slot}"] = rows
        for name in [each for each in merged.arrays if each.startswith(f"e{suffix}")]:
            new, merged_name = merged.arrays.pop(name), "e" + name[len(suffix) + 1 :]
            old = merged.arrays[merged_name]
            if kind == "old":
                merged.arrays[merged_name] = np.concatenate([old, new])
            else:
                merged.arrays[merged_name] = old.copy()
                merged.arrays[merged_name][which] = new
        self.state = trained
        size = merged.arrays["e"].shape[0]
        frozen = range(which) if kind == "old" else sorted({*range(size)} - {*which})
        self.make(merged, *arguments, kept=frozen)
        self.state, self.before_growth = merged, None

    def train_on(self):
        """Trains with TensorFlow."""
        self.train(self)

    def touch(self):
        """Changes rows as a training would: of a split table the trainable ones only."""
        names = [name for name in self.state.arrays if name.split("/")[0] in AXES]
        if self.state.split:
            names = [name for name in self.state.arrays if name.startswith(("e_new", "e_train"))]
        state = self.state.copy()
        for name in names:
            values = state.arrays[name].copy()
            chosen = self.numpy.rand(*values.shape) < 0.2
            values[chosen] = self._bits(values.shape)[chosen]
            if "Adagrad" in name:
                values = np.where(chosen, 1, state.arrays[name]).astype(self.dtype)
            state.arrays[name] = values
        state.prefix = self._prefix()
        self.write(state)
        self.lines.append(f"# other values in {', '.join(names)}: {state.prefix}")
        self._diff(self.state, state)
        if not self.state.split:
            self._verify(self.state, state, range(state.arrays["e"].shape[0]))
        self.state = state

    def delta(self):
        """Keeps the rows of the last growth in a delta; applies and reverts it."""
        base, old_ids = self.before_growth
        grown, last = self.state, self.reserved[1]
        is_new = np.asarray(old_ids) < 0
        self._number += 1
        delta = os.path.join(self.folder, f"d{self._number}")
        arguments = ["delta", "extract", base.prefix, grown.prefix, "--table", "e", "--out", delta]
        for name in self.others:
            arguments += ["--also", f"{name}:{AXES[name]}" if AXES[name] else name]
        if not self.others:
            arguments += ["--only-tables"]
        at_end = is_new[len(is_new) - last - int(is_new.sum()) : len(is_new) - last].all()
        if not at_end:
            return
        arguments += self._where(base) + self._by_reserved()
        changed = False
        for name in ["e", *self.others]:
            one, other = (np.moveaxis(each.arrays[name], AXES[name], 0) for each in (base, grown))
            changed |= one.tobytes() != np.ascontiguousarray(other[~is_new]).tobytes()
        if changed:
            told = self.command(*arguments, status=2)
            assert "no delta of new rows makes the one of the other" in told, told
            assert not os.path.exists(f"{delta}.index")
            self.before_growth = None
            return
        self.command(*arguments)
        # Slots of old rows may have changed; those of the base are kept.
        self.state = base
        expected = base.copy()
        for name, values in grown.arrays.items():
            owner = name.partition("/")[0]
            if owner in AXES:
                axis = AXES[owner]
                rows = np.moveaxis(values, axis, 0).copy()
                rows[~is_new] = np.moveaxis(base.arrays[name], axis, 0)
                expected.arrays[name] = np.ascontiguousarray(np.moveaxis(rows, 0, axis))
        expected.tokens = list(grown.tokens)
        apply = ["delta", "apply", base.prefix, delta, *self._where(base)]
        if "Adam" in self.slots:
            apply += ["--clocks", "keep"]
        self.make(expected, *apply, kept=np.flatnonzero(~is_new))
        self.state = expected
        back = expected.copy()
        back.arrays, back.tokens = dict(base.arrays), list(base.tokens)
        revert = ["delta", "revert", expected.prefix, delta, *self._where(base)]
        self.make(back, *revert, certified=False)
        self.before_growth = None
        self.state = self.random.choice([grown, expected, back])


def _num_changed(one, other, axis):
    """Returns how many entries along an axis are not the same in every bit."""
    if not one.shape:
        return int(one.tobytes() != other.tobytes())
    pairs = zip(np.moveaxis(one, axis, 0), np.moveaxis(other, axis, 0))
    return sum(x.tobytes() != y.tobytes() for x, y in pairs)
