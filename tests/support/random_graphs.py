"""Random small graphs that write a table, for the audit to be held against what they do.

A graph is drawn from what people write: ids that are fed, filtered, cast and reshaped; gradients
that are masked; optimizers, slots, projections, branches, loops and functions around them. Some are
safe by construction: a false alarm there is counted. What is drawn depends on the seed alone.
"""

import contextlib

import numpy as np
import tensorflow.compat.v1 as tf

import tf1_embed
from tf1_embed import Rows, TrainableRowsOptimizer, freeze_rows

STEPS = 2


class Drawn:
    """A graph, what to audit in it, and how to run it.

    Attributes:
      table: `tf.Variable`.
      frozen: `Rows` of it.
      fetches: what a step runs.
      feeds: list of dicts from placeholder to array, one a step.
      is_safe: bool, whether no frozen row can move, by construction.
      words: list of strings, what was drawn.
    """

    def __init__(self, table, frozen, fetches, feeds, is_safe, words):
        self.table, self.frozen, self.fetches = table, frozen, fetches
        self.feeds, self.is_safe, self.words = feeds, is_safe, words


def draw(seed):
    """Draws a graph into the default graph."""
    return _Drawing(np.random.RandomState(seed)).draw()


def moved_rows(drawn, seed):
    """Runs a drawn graph on warm random state; returns the frozen ids whose bits changed.

    None if it does not run: not every graph that can be drawn does.
    """
    random = np.random.RandomState(seed)
    config = tf.ConfigProto(inter_op_parallelism_threads=1, intra_op_parallelism_threads=1)
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    table = drawn.table
    with tf.Session(config=config) as session:
        session.run([tf.global_variables_initializer(), tf.local_variables_initializer()])
        for variable in tf.global_variables():
            if variable.dtype.base_dtype.is_floating:
                value = np.asarray(session.run(variable))
                warm = value + random.uniform(0.5, 1, value.shape)
                _put(session, variable, warm.astype(value.dtype))
        value = session.run(table)
        ids = drawn.frozen.ids()
        for place, special in zip(
            random.permutation(ids)[:2], (-0.0, np.finfo(value.dtype).tiny / 4)
        ):
            value[place] = special
        _put(session, table, value)
        before = session.run(table)
        try:
            for feed in drawn.feeds:
                session.run(drawn.fetches, feed)
            after = session.run(table)
        except (tf.errors.OpError, ValueError):
            return None
    if before.shape != after.shape:
        return ids.tolist()
    changed = (_bits(before) != _bits(after)).any(1)
    return [int(each) for each in ids if changed[each]]


def _put(session, variable, value):
    session.run(variable.initializer, {variable.initializer.inputs[1]: value})


def _bits(array):
    array = np.ascontiguousarray(array)
    return array.reshape([len(array), -1]).view(np.uint8)


class _Drawing:
    def __init__(self, random):
        self._random = random
        self._feeds = []  # pairs of a placeholder and what draws its value
        self._words = []
        self._in_branch = False

    def draw(self):
        self.size, self.dim = self._int(4, 12), self._int(1, 3)
        self.shape = [self.size] if self._chance(0.1) else [self.size, self.dim]
        self.frozen = self._draw_frozen()
        self.is_resource = self._chance(0.6)
        self.dtype = np.float64 if self._chance(0.1) else np.float32
        self.table = self._variable("table")
        with self._control_flow():
            build = self._pick(
                (4, self._sparse_step),
                (3, self._dense_step),
                (3, self._scatter),
                (2, self._assign),
                (1, self._wrapped_step),
                (1, self._read_only),
                (1, self._other_handle),
            )
            fetches, is_safe = self._around(build)
        feeds = [{key: value() for key, value in self._feeds} for _ in range(STEPS)]
        return Drawn(self.table, self.frozen, fetches, feeds, is_safe, self._words)

    # Small things.

    def _int(self, low, high):
        return int(self._random.randint(low, high + 1))

    def _chance(self, probability):
        return self._random.uniform() < probability

    def _pick(self, *weighted):
        weights = np.array([each[0] for each in weighted], float)
        choice = weighted[self._random.choice(len(weighted), p=weights / weights.sum())][1]
        self._words.append(getattr(choice, "__name__", str(choice)).strip("_"))
        return choice

    def _one_of(self, *choices):
        choice = choices[self._random.randint(len(choices))]
        self._words.append(str(choice))
        return choice

    def _variable(self, name, trainable=True):
        values = self._random.uniform(-1, 1, self.shape).astype(self.dtype)
        with tf.init_scope():
            return tf.get_variable(
                name, initializer=values, use_resource=self.is_resource, trainable=trainable
            )

    def _draw_frozen(self):
        kind = self._one_of("first", "first", "some", "all but one")
        if kind == "first":
            return Rows.range(0, self._int(1, self.size - 1), size=self.size)
        if kind == "all but one":
            return ~Rows.of([self._int(0, self.size - 1)], size=self.size)
        mask = self._random.uniform(size=self.size) < 0.5
        mask[self._int(0, self.size - 1)] = True
        if mask.all():
            mask[self._int(0, self.size - 1)] = False
        return Rows.where(mask)

    def _fed(self, value, shape, dtype):
        """A placeholder that is fed what `value` draws."""
        with tf.init_scope():  # Nothing in a body can be fed.
            placeholder = tf.placeholder(dtype, shape)
        self._feeds.append((placeholder, value))
        return placeholder

    @contextlib.contextmanager
    def _control_flow(self):
        if not hasattr(tf, "control_flow_v2_enabled"):
            yield
            return
        was_v2 = tf.control_flow_v2_enabled()
        v2 = self.is_resource and self._chance(0.5)
        (tf.enable_control_flow_v2 if v2 else tf.disable_control_flow_v2)()
        self._words.append("v2" if v2 else "v1")
        try:
            yield
        finally:
            (tf.enable_control_flow_v2 if was_v2 else tf.disable_control_flow_v2)()

    # What is around a step.

    def _around(self, build):
        kind = self._one_of(*["nothing"] * 5, "cond", "cond", "while", "function", "twice", "after")
        if kind == "function" and not (self.is_resource and hasattr(tf, "function")):
            kind = "cond"
        if kind == "nothing":
            return build()
        if kind == "twice":
            first, second = build(), build()
            return [first[0], second[0]], first[1] and second[1]
        if kind == "after":
            first = build()
            with tf.control_dependencies(first[0] if isinstance(first[0], list) else [first[0]]):
                second = build()
            return second[0], first[1] and second[1]
        safe = []

        def step(*_):
            self._in_branch = True
            fetch, is_safe = build()
            safe.append(is_safe)
            fetch = fetch if isinstance(fetch, list) else [fetch]
            with tf.control_dependencies([getattr(each, "op", each) for each in fetch]):
                return tf.identity(1)

        if kind == "cond":
            condition = self._fed(lambda: self._chance(0.7), [], tf.bool)
            result = tf.cond(condition, step, lambda: tf.constant(0))
        elif kind == "while":
            result = tf.while_loop(lambda i: i < 1, lambda i: i + step(), [tf.constant(0)])
        else:
            result = tf.function(step, autograph=False)()
        return result, all(safe)

    # Ids, and what is done to them.

    def _draw_ids(self):
        """Returns a tensor of ids, and whether none of them can be a frozen one."""
        kind = self._one_of("fed", "fed", "fed", "fed2", "constant", "unknown", "wide", "float")
        if kind == "constant":
            ids = self._random.randint(0, self.size, self._int(1, 4))
            return tf.constant(ids, tf.int32), not self.frozen.contains(ids).any()
        dtype = self._one_of(tf.int32, tf.int64)
        if kind == "wide":
            return self._fed(
                lambda: self._some_ids() + (self._int(0, 1) << 32), [None], tf.int64
            ), False
        if kind == "float":
            values = self._fed(
                lambda: self._some_ids() + self._one_of(0.0, 0.5), [None], tf.float32
            )
            return values, False
        if kind == "fed2":
            return self._fed(lambda: self._some_ids(4).reshape([2, 2]), [None, None], dtype), False
        shape = None if kind == "unknown" else [None]
        return self._fed(self._some_ids, shape, dtype), False

    def _some_ids(self, count=None):
        return self._random.randint(0, self.size, count or self._int(1, 5))

    def _ids(self):
        """Returns a vector of ids that went through some filters and shapes; whether it is safe."""
        ids, safe = self._draw_ids()
        for _ in range(self._int(0, 3)):
            ids, safe = self._changed(ids, safe)
        if ids.dtype.is_floating:
            ids = tf.cast(ids, tf.int32)
        if ids.shape.ndims != 1:
            ids = tf.reshape(ids, [-1])
        return ids, safe

    def _changed(self, ids, safe):
        change = self._pick(
            (6, self._filter),
            (2, self._select),
            (1, self._raise),
            (1, self._fold),
            (1, self._cast),
            (1, self._shift),
            (1, self._reshape),
            (1, self._unique),
            (1, self._reverse),
            (1, self._join),
            (1, self._hand_on),
            (1, self._slice),
            (1, self._drop),
        )
        return change(ids, safe)

    def _condition(self, ids):
        """Returns a condition on ids, and whether it holds for no frozen id."""
        kind = self._one_of("contains", "contains", "contains", "table", "many", "from", "others")
        wanted = ~self.frozen
        exact = not ids.dtype.is_floating
        right = self._chance(0.7)
        if not right:
            self._words.append("off by one")
            wanted = Rows.of((wanted.ids() + 1) % self.size, size=self.size)
        safe = exact and not self.frozen.contains(wanted.ids()).any()
        if kind == "contains" and exact:
            return wanted.contains(ids), safe
        if kind == "table" and exact:
            mask = np.zeros(self.size, bool)
            mask[wanted.ids()] = True
            # Ids out of range fail; so they do on a CPU.
            return tf.gather(tf.constant(mask), ids), safe and ids.dtype == tf.int32
        if kind == "many" and exact and ids.shape.ndims == 1:
            same = tf.equal(ids[:, None], tf.constant(wanted.ids(), ids.dtype))
            return tf.reduce_any(same, 1), safe
        if kind == "others":
            return self._fed(lambda: self._random.uniform(size=()) < 0.5, [], tf.bool) | (
                ids >= tf.cast(self.size, ids.dtype)
            ), False
        first = self._int(0, self.size - 1)
        outside = not self.frozen.contains(np.arange(first, self.size)).any()
        return ids >= tf.cast(first, ids.dtype), outside and exact

    def _filter(self, ids, safe):
        source = ids
        if self._chance(0.2):
            source, _ = self._pick((1, self._shift), (1, self._reverse), (1, self._hand_on))(
                ids, False
            )
        condition, filters = self._condition(source)
        filters = filters and source is ids
        kind = self._one_of("boolean_mask", "where", "partition", "where columns")
        if ids.shape.ndims is None or condition.shape.ndims is None:
            kind = "where columns"
        if kind == "boolean_mask":
            return tf.boolean_mask(ids, condition), safe or filters
        if kind == "partition":
            parts = tf.dynamic_partition(ids, tf.cast(condition, tf.int32), 2)
            which = int(self._chance(0.8))
            return parts[which], safe or filters and which == 1
        places = tf.where(condition)
        if kind == "where" or ids.shape.ndims == 1:
            if ids.shape.ndims == 1 and self._chance(0.5):
                return tf.gather(ids, places[:, 0]), safe or filters
            return tf.gather_nd(ids, places), safe or filters
        if self._chance(0.5):
            return tf.gather(tf.reshape(ids, [-1]), tf.reshape(places, [-1])), safe
        return tf.reshape(tf.gather_nd(ids, places[:, :1]), [-1]), safe

    def _select(self, ids, safe):
        condition, filters = self._condition(ids)
        target = int(self._random.choice((~self.frozen).ids()))
        if self._chance(0.2):
            target = int(self._random.randint(self.size))
        other = tf.fill(tf.shape(ids), tf.cast(target, ids.dtype))
        chosen = tf.where(condition, ids, other)
        return chosen, (safe or filters) and not self.frozen.contains([target])[0]

    def _raise(self, ids, safe):
        least = self._int(0, self.size - 1)
        outside = not self.frozen.contains(np.arange(least, self.size)).any()
        exact = not ids.dtype.is_floating
        return tf.maximum(ids, tf.cast(least, ids.dtype)), outside and exact

    def _fold(self, ids, safe):
        first = self._int(0, self.size - 1)
        count = self._int(1, self.size - first)
        outside = not self.frozen.contains(np.arange(first, first + count)).any()
        exact = not ids.dtype.is_floating
        folded = tf.floormod(ids, tf.cast(count, ids.dtype)) + tf.cast(first, ids.dtype)
        return folded, outside and exact

    def _cast(self, ids, safe):
        dtype = self._one_of(tf.int32, tf.int64, tf.int64, tf.int16, tf.float32)
        cast = tf.cast(ids, dtype)
        if dtype == tf.int16:
            return tf.cast(cast, tf.int32), False
        return cast, safe and dtype == tf.int64 and not ids.dtype.is_floating

    def _shift(self, ids, safe):
        number = self._one_of(0, 0, 1, -1)
        return ids + tf.cast(number, ids.dtype), safe and number == 0

    def _reshape(self, ids, safe):
        shape = self._one_of([-1], [1, -1], [-1, 1])
        return tf.reshape(ids, shape), safe

    def _unique(self, ids, safe):
        flat = tf.reshape(ids, [-1])
        index = int(self._chance(0.2))
        return tf.unique(flat)[index], safe and index == 0

    def _reverse(self, ids, safe):
        if ids.shape.ndims is None:
            return ids, safe
        return tf.reverse(ids, [0]), safe

    def _join(self, ids, safe):
        other, other_safe = self._draw_ids()
        flat, other = tf.reshape(ids, [-1]), tf.cast(tf.reshape(other, [-1]), ids.dtype)
        return tf.concat([flat, other], 0), safe and other_safe and not ids.dtype.is_floating

    def _hand_on(self, ids, safe):
        kind = self._one_of("identity", "stop_gradient", "identity_n", "cond", "while")
        if kind == "identity_n":
            return tf.identity_n([tf.zeros([]), ids])[1], safe
        if kind == "cond":
            condition = self._fed(lambda: self._chance(0.5), [], tf.bool)
            return tf.cond(condition, lambda: tf.identity(ids), lambda: ids + 0), safe
        if kind == "while":
            invariants = [tf.TensorShape([]), ids.shape]
            loop = tf.while_loop(
                lambda i, x: i < 2, lambda i, x: (i + 1, tf.identity(x)), [0, ids], invariants
            )
            return loop[1], False
        return (tf.identity if kind == "identity" else tf.stop_gradient)(ids), safe

    def _slice(self, ids, safe):
        if ids.shape.ndims is None:
            return ids, safe
        if ids.shape.ndims == 2:
            return (ids[:, ::-1] if self._chance(0.5) else ids[0]), safe
        return ids[1:], safe

    def _drop(self, ids, safe):
        if ids.dtype.is_floating:
            return ids, safe
        dropped = self.frozen.ids() if self._chance(0.7) else self.frozen.ids()[1:]
        flat = tf.reshape(ids, [-1])
        kept = tf.raw_ops.ListDiff(x=flat, y=tf.constant(dropped, ids.dtype)).out
        return kept, safe or len(dropped) == self.frozen.count

    # Steps.

    def _rows_for(self, ids):
        shape = tf.concat([tf.shape(ids), self.shape[1:]], 0) if self.shape[1:] else tf.shape(ids)
        return tf.fill(shape, tf.cast(self._random.uniform(0.1, 1), self.dtype))

    def _optimizer(self):
        """Returns an optimizer, and whether rows stay of which it gets no slices."""
        rate = 0.1
        kind = self._one_of("sgd", "sgd", "momentum", "adagrad", "rmsprop", "adam", "ftrl")
        stays = kind != "adam"
        return {
            "sgd": lambda: tf.train.GradientDescentOptimizer(rate),
            "momentum": lambda: tf.train.MomentumOptimizer(rate, 0.9),
            "adagrad": lambda: tf.train.AdagradOptimizer(rate),
            "rmsprop": lambda: tf.train.RMSPropOptimizer(rate),
            "adam": lambda: tf.train.AdamOptimizer(rate),
            "ftrl": lambda: tf.train.FtrlOptimizer(rate),
        }[kind](), stays

    def _gradient(self, ids):
        """Returns the slices that a lookup of ids has as its gradient."""
        vectors = tf.gather(self.table, ids)
        power = tf.reduce_sum(vectors * 0.5) if self._chance(0.5) else tf.reduce_sum(vectors**2)
        return tf.gradients(power, self.table)[0]

    def _sparse_step(self):
        ids, safe = self._ids()
        optimizer, stays = self._optimizer()
        if self._chance(0.3):
            gradient = tf.IndexedSlices(self._rows_for(ids), ids, tf.constant(self.shape, tf.int64))
        else:
            gradient = self._gradient(ids)
            # On its way out of a branch a gradient meets zeros for every row.
            safe = safe and not self._in_branch
        change = self._one_of("none", "none", "drop", "drop by hand", "mask", "select", "clip")
        if isinstance(gradient, tf.IndexedSlices):
            gradient, safe = self._change_slices(gradient, safe, change)
        else:
            safe = False  # of a loop: dense
        return optimizer.apply_gradients([(gradient, self.table)]), safe and stays

    def _change_slices(self, gradient, safe, change):
        values, indices = gradient.values, gradient.indices
        if change == "drop":
            pairs = freeze_rows([(gradient, self.table)], {self.table: self.frozen})
            return pairs[0][0], True
        if change == "drop by hand":
            condition, filters = self._condition(indices)
            kept = tf.reshape(tf.where(condition), [-1])
            values, indices = tf.gather(values, kept), tf.gather(indices, kept)
            # Of indices of unknown rank nothing is known, though slices have vectors.
            safe = safe or filters and gradient.indices.shape.ndims == 1
        elif change in ("mask", "select"):
            mask = np.zeros(self.size, self.dtype)
            mask[(~self.frozen).ids()] = 1
            flags = tf.gather(tf.constant(mask), indices)
            if self.shape[1:]:
                flags = flags[:, None] * tf.ones([1, self.dim], self.dtype)
            if change == "mask":
                values = values * flags
            else:
                values = tf.where(flags > 0, values, tf.zeros_like(values))
        elif change == "clip":
            values = tf.clip_by_norm(values, 1.0)
        return tf.IndexedSlices(values, indices, gradient.dense_shape), safe

    def _dense_step(self):
        optimizer, _ = self._optimizer()
        gradient = self._fed(
            lambda: self._random.uniform(-1, 1, self.shape), self.shape, self.dtype
        )
        kind = self._one_of("none", "mask", "where", "pad", "drop")
        if kind == "mask":
            gradient = gradient * self._mask()
        elif kind == "where":
            gradient = tf.where(
                self._mask() + tf.zeros(self.shape, self.dtype) > 0,
                gradient,
                tf.zeros_like(gradient),
            )
        elif kind == "pad":
            first = self._int(0, self.size - 1)
            gradient = tf.pad(gradient[first:], [[first, 0]] + [[0, 0]] * (len(self.shape) - 1))
        elif kind == "drop":
            pairs = freeze_rows([(gradient, self.table)], {self.table: self.frozen})
            gradient = pairs[0][0]
        # A zero that is subtracted moves special bits, at the least.
        return optimizer.apply_gradients([(gradient, self.table)]), False

    def _mask(self):
        mask = np.zeros([self.size] + [1] * (len(self.shape) - 1), self.dtype)
        mask[(~self.frozen).ids()] = 1
        return tf.constant(mask)

    def _scatter(self):
        ids, safe = self._ids()
        kind = self._one_of("update", "update", "add", "sub", "nd", "own", "max")
        rows = self._rows_for(ids)
        if kind == "own":
            source = ids if self._chance(0.6) else tf.reverse(ids, [0])
            return tf.scatter_update(self.table, ids, tf.gather(self.table, source)), (
                safe or source is ids
            )
        if kind == "nd":
            return tf.scatter_nd_update(self.table, ids[:, None], rows), safe
        if kind == "max":
            if not hasattr(tf, "scatter_max"):
                kind = "add"
            else:
                return tf.scatter_max(self.table, ids, rows), safe
        write = {"update": tf.scatter_update, "add": tf.scatter_add, "sub": tf.scatter_sub}[kind]
        return write(self.table, ids, rows), safe

    def _assign(self):
        kind = self._one_of("where", "mask", "concat", "slice", "add", "project", "own", "average")
        table, first = self.table, self._int(0, self.size - 1)
        outside = not self.frozen.contains(np.arange(first, self.size)).any()
        new = tf.ones([self.size - first, *self.shape[1:]], self.dtype)
        if kind == "where":
            flags = np.zeros(self.size, bool)
            flags[(~self.frozen).ids()] = True
            right = self._chance(0.7)
            flags = flags if right else np.roll(flags, 1)
            safe = not flags[self.frozen.ids()].any()
            value = tf.where(tf.constant(flags), tf.zeros_like(table), tf.convert_to_tensor(table))
            return tf.assign(table, value), safe
        if kind == "mask":
            mask = self._mask()
            return tf.assign(table, table * (1 - mask) + mask), False
        if kind == "concat":
            return tf.assign(table, tf.concat([table[:first], new], 0)), outside
        if kind == "slice":
            write = table[first:].assign(new)
            return getattr(write, "op", write), outside
        if kind == "add":
            padded = tf.pad(new, [[first, 0]] + [[0, 0]] * (len(self.shape) - 1))
            return tf.assign_add(table, padded), False
        if kind == "project":
            if self._chance(0.5):
                return tf.assign(table, tf.clip_by_value(table, -0.1, 0.1)), False
            rows = ~self.frozen
            return tf1_embed.project_rows(table, rows, lambda x: tf.clip_by_value(x, 0, 0.1)), True
        if kind == "own":
            return tf.assign(table, tf.identity(table)), True
        slot = self._variable(f"average_{len(self._feeds)}_{self._int(0, 1 << 30)}", False)
        update = tf.assign_sub(slot, (slot - table) * 0.1)
        with tf.control_dependencies([getattr(update, "op", update)]):
            ids = (~self.frozen).ids() if self._chance(0.7) else np.arange(self.size)
            values = tf.gather(slot, ids)
            write = tf.scatter_update(table, ids, values)
        return write, len(ids) < self.size

    def _wrapped_step(self):
        optimizer, _ = self._optimizer()
        wrapped = TrainableRowsOptimizer(optimizer, {self.table: ~self.frozen})
        ids, _ = self._ids()
        return wrapped.apply_gradients([(self._gradient(ids), self.table)]), True

    def _read_only(self):
        ids, _ = self._ids()
        other = self._variable(f"other_{self._int(0, 1 << 30)}")
        loss = tf.reduce_sum(tf.gather(self.table, ids)) * tf.reduce_sum(other)
        step = tf.train.AdamOptimizer().minimize(loss, var_list=[other])
        return [step, loss], True

    def _other_handle(self):
        """Writes one of two variables, by a handle or reference that went some way."""
        other = self._variable(f"second_{self._int(0, 1 << 30)}")
        is_table = self._chance(0.5)
        first, second = (self.table, other) if is_table else (other, self.table)
        value = tf.ones(self.shape, self.dtype)
        if not self.is_resource:
            index = self._fed(lambda: self._int(0, 1), [], tf.int32)
            kind = self._one_of("identity", "select")
            if kind == "identity":
                ref = tf.raw_ops.RefIdentity(input=first._ref())
                return tf.raw_ops.Assign(ref=ref, value=value), not is_table
            ref = tf.raw_ops.RefSelect(index=index, inputs=[first._ref(), second._ref()])
            return tf.raw_ops.Assign(ref=ref, value=value), False
        kind = self._one_of("identity_n", "shared name", "cond", "loop")
        if kind == "identity_n":
            handle = tf.raw_ops.IdentityN(input=[second.handle, first.handle])[1]
        elif kind == "shared name":
            handle = tf.raw_ops.VarHandleOp(
                dtype=self.dtype, shape=self.shape, shared_name=first.op.name, container=""
            )
        elif kind == "cond":
            condition = self._fed(lambda: self._chance(0.5), [], tf.bool)
            handle = tf.cond(
                condition, lambda: tf.identity(first.handle), lambda: tf.identity(second.handle)
            )
            is_table = True
        else:
            handle = tf.while_loop(
                lambda i, a, b: i < 1,
                lambda i, a, b: (i + 1, b, a),
                [tf.constant(0), second.handle, first.handle],
            )[1]
            is_table = True
        return tf.raw_ops.AssignVariableOp(resource=handle, value=value), not is_table
