"""Any optimizer, on chosen rows of an ordinary variable.

A masked gradient does not freeze a row: optimizers move rows by what they remember of them, or by
themselves. So the base optimizer does not see the table. It acts on a scratch variable of just the
trainable rows, as on a table of their own:

    table ──load──> scratch [count, dim] ──base optimizer, re-indexed gradient──┐
      ^                                                                         │
      └───────────────────────────────── store ─────────────────────────────────┘

Under optimizers whose sparse update touches only the rows of the gradient, only these rows are
loaded and stored, and a step is O(batch); under all others it is O(trainable rows). Where such an
optimizer has no slots, or they are to have the table's shape, it acts on the table itself.

Here is what a step does, with slots of the trainable rows alone; `graph/full_slots.py` has what
more there is to slots of the table's shape.
"""

from __future__ import annotations

from typing import Any, Iterable

import tensorflow.compat.v1 as tf

from tf1_embed.gradients import (
    Gradient,
    GradsAndVars,
    check_trains,
    keep_nothing,
    keep_rows,
    sum_slices,
)
from tf1_embed.graph import base_optimizer, train_ops
from tf1_embed.graph.full_slots import FullSlots, check_var_list
from tf1_embed.graph.graph_mode import check_graph_mode
from tf1_embed.graph.scratch import TableUpdate
from tf1_embed.graph.variables import VariableLike
from tf1_embed.graph.wrapped_tables import Wrap, WrappedTables, summarize
from tf1_embed.rows import Rows, RowsLike


class TrainableRowsOptimizer(tf.train.Optimizer):
    """Trains only chosen rows of ordinary variables; the others stay, bit for bit.

    Wraps any `tf.train.Optimizer`, also a custom one, and the optimizers of `tf.keras` that work in
    graph mode. The chosen rows move exactly as a table of just these rows would under the base
    optimizer; variables without an entry in `trainable_rows` train as ever.

    `slots` says where the base optimizer keeps its state of the tables:

    - "rows": slot variables of the trainable rows only, [count, dim], under
      `<table>/trainable_rows/`. The default; memory is O(count).
    - "full": slot variables of the table's shape, under the names that TensorFlow gives them, so
      that a `tf.train.Saver` over the whole graph restores the checkpoint of a grown model with its
      slots. What they hold of frozen rows stays, bit for bit; so do the slots of what `others`
      freezes.

    Under `tf.xla.experimental.compile` only "rows" works. Under a `tf.distribute.Strategy` such as
    `MirroredStrategy` neither does: use `tf1_embed.get_grown_table` there.

    A gradient that is `compute_gradients`'s, untouched, moves rows by the very bits of a table of
    their own; one that was clipped or scaled has the slices of a row summed, which differ from one
    after the other by rounding.

    With "rows", a checkpoint from before the optimizer was wrapped lacks the slots and the scratch
    variable: restore it with a Saver of the model's own variables.

    One training step of a table at a time: steps that run at once, of several threads or of
    asynchronous workers, share the scratch variable and lose updates of trainable rows, though they
    never touch a frozen one. For these, use `tf1_embed.get_grown_table`.

    An optimizer that decides by the name of a variable sees `<table>/trainable_rows` for a wrapped
    one; where its patterns would tell the two apart, it is refused.

    Example:
      >>> import numpy as np
      >>> import tensorflow.compat.v1 as tf
      >>> import tf1_embed
      >>> with tf.Graph().as_default(), tf.Session() as session:
      ...     table = tf.get_variable("embedding", initializer=np.zeros([4, 2], np.float32))
      ...     loss = tf.reduce_sum(tf.nn.embedding_lookup(table, [1, 3]))
      ...     optimizer = tf1_embed.TrainableRowsOptimizer(
      ...         tf.train.GradientDescentOptimizer(1.0),
      ...         {table: tf1_embed.Rows.range(2, 4, size=4)},
      ...     )
      ...     train_op = optimizer.minimize(loss)
      ...     session.run(tf.global_variables_initializer())
      ...     session.run(train_op)
      ...     print(session.run(table))
      [[ 0.  0.]
       [ 0.  0.]
       [ 0.  0.]
       [-1. -1.]]
    """

    def __init__(
        self,
        optimizer: Any,
        trainable_rows: dict[VariableLike, RowsLike],
        slots: str = "rows",
        axis: int | dict[VariableLike, int] = 0,
        partition_strategy: str | None = None,
        others: str | None = None,
        use_locking: bool = False,
        name: str = "TrainableRows",
    ):
        """Wraps an optimizer.

        Args:
          optimizer: `tf.train.Optimizer`, or a `tf.keras` optimizer that works in graph mode.
          trainable_rows: dict from variable to its trainable rows: `Rows`, or ids, a range, a slice
            or a bool vector. A variable may be given by its name, or several by a pattern of names
            such as `model/ent*`; they are looked for when gradients are computed, so that the
            optimizer may be made before them. A partitioned variable takes the rows of the whole
            table. `tf1_embed.grown_rows` makes such a dict.
          slots: "rows" or "full", see above.
          axis: int, the axis that ids count along; or a dict from variable, or name, to it, for
            those where it is not 0, such as an output projection [dim, num_rows]. A name may bring
            its axis, as in `projection:1`.
          partition_strategy: "mod" or "div", how ids go to the partitions of a partitioned
            variable: the one that its lookups use.
          others: "trainable" or "frozen", what becomes of all variables that are given to
            `minimize`, or are trainable, and are not in `trainable_rows`. Default: "trainable".
          use_locking: bool, whether a variable's lock is held while rows are written to it; it is
            no lock around a whole step.
          name: string, a name for the operations.

        Raises:
          KeyError: if a key of `axis` is a name that matches no variable.
          TypeError: if `optimizer` is no optimizer, `trainable_rows` no dict, a key of it a tensor
            rather than a variable, or a value does not name rows.
          ValueError: if `optimizer` cannot be wrapped, the reason being told; if a table is wrapped
            twice; if rows are not of their variable's size; if a variable has more than one
            partition and `partition_strategy` is not given; if `slots` or `others` is neither.
        """
        super().__init__(use_locking, name)
        base_optimizer.check_optimizer(optimizer)
        if slots not in ("rows", "full"):
            raise ValueError(f'`slots` must be "rows" or "full", got {slots!r}')
        if others not in (None, "trainable", "frozen"):
            raise ValueError(f'`others` must be "trainable" or "frozen", got {others!r}')
        self._base: Any = optimizer
        self._tables: WrappedTables = WrappedTables()
        self._others: str | None = others
        if isinstance(optimizer, TrainableRowsOptimizer):
            # One step for all tables: the one within would take scratch variables for others.
            self._base = optimizer._base
            self._tables = WrappedTables(optimizer._tables)
            self._others = others or optimizer._others
        if isinstance(trainable_rows, Rows):
            raise TypeError(
                f"`trainable_rows` must be a dict from variable, or name, to its rows, got "
                f"{trainable_rows!r}"
            )
        self._tables.add(Wrap(dict(trainable_rows), axis, partition_strategy, slots == "full"))
        # One of each graph: canned Estimators use one optimizer in the graphs of all their calls.
        self._full_slots: dict[tf.Graph, FullSlots] = {}
        # The gradients that compute_gradients has filtered, by identity: with each, what the base
        # optimizer gets if it comes back untouched.
        self._filtered: dict[int, tuple[Gradient, Gradient]] = {}

    def compute_gradients(
        self, loss: tf.Tensor, var_list: Iterable[Any] | None = None, **kwargs: Any
    ) -> GradsAndVars:
        """Computes the gradients of `loss`, without those of frozen rows.

        Takes what the base optimizer's `compute_gradients` takes.

        Returns:
          list of (gradient, variable) pairs. In the slices of a wrapped table each row occurs once,
          so that `tf.clip_by_global_norm` finds the norm of the trainable rows' gradient. Gradients
          of what `others` freezes have no slices, or are zero.

        Raises:
          KeyError: if a name or pattern matches no variable; the trainable ones are listed.
          RuntimeError: in eager mode.
          ValueError: if a wrapped variable was made with `trainable=False`; if slots are "full",
            and `var_list` leaves out all that is not wrapped, unless `others` is "trainable".
        """
        pairs = self._compute_gradients(True, loss, var_list, kwargs)
        self._check_var_list(loss, var_list, pairs)
        return pairs

    def gradients(
        self, loss: tf.Tensor, variables: Iterable[Any], **kwargs: Any
    ) -> list[Gradient | None]:
        """Returns the gradients of `loss` alone, as a list, in the place of `tf.gradients`.

        Args:
          loss: scalar `tf.Tensor`.
          variables: list of variables.
          **kwargs: what the base optimizer's `compute_gradients` takes.

        Returns:
          list of gradients of the variables, in their order, as `compute_gradients` has them; None
          where `loss` does not depend on a variable.

        Raises:
          KeyError, RuntimeError, ValueError: as `compute_gradients`, but for what that says of
            `var_list`.
        """
        pairs = self._compute_gradients(True, loss, list(variables), kwargs)
        return [gradient for gradient, _ in pairs]

    def minimize(
        self,
        loss: tf.Tensor,
        global_step: Any | None = None,
        var_list: Iterable[Any] | None = None,
        gate_gradients: int = tf.train.Optimizer.GATE_OP,
        aggregation_method: int | None = None,
        colocate_gradients_with_ops: bool = False,
        name: str | None = None,
        grad_loss: tf.Tensor | None = None,
    ) -> tf.Operation:
        """Adds operations to minimize `loss`, as `tf.train.Optimizer.minimize` does.

        Raises:
          KeyError, RuntimeError, ValueError: as `compute_gradients` and `apply_gradients`.
        """
        options = {
            "gate_gradients": gate_gradients,
            "aggregation_method": aggregation_method,
            "colocate_gradients_with_ops": colocate_gradients_with_ops,
            "grad_loss": grad_loss,
        }
        # Duplicates stay, since the base optimizer may treat them in its own way.
        pairs = self._compute_gradients(False, loss, var_list, options)
        self._check_var_list(loss, var_list, pairs)
        return self.apply_gradients(pairs, global_step=global_step, name=name)

    def apply_gradients(
        self,
        grads_and_vars: Iterable[tuple[Gradient | None, Any]],
        global_step: Any | None = None,
        name: str | None = None,
    ) -> tf.Operation:
        """Applies gradients to the trainable rows of wrapped tables and to all other variables.

        Variables without a gradient stay, as in TensorFlow; `check_train_op` tells whether tables
        are among them.

        Args:
          grads_and_vars: list of (gradient, variable) pairs, of `compute_gradients` or of
            `tf.gradients`; gradients of frozen rows are dropped.
          global_step: variable to increment, or None.
          name: string, a name for the operation.

        Returns:
          `tf.Operation` that takes a training step; it is in the collection
          `tf.GraphKeys.TRAIN_OP`.

        Raises:
          KeyError: if a name or pattern matches no variable; the trainable ones are listed.
          RuntimeError: in eager mode.
          ValueError: if no variable has a gradient, or a wrapped one was made with
            `trainable=False` and is not among the pairs; if the optimizer cannot be wrapped, the
            reason being told.
        """
        pairs = list(grads_and_vars)
        self._find_tables(pairs)
        pairs = [pair for pair in pairs if pair[0] is not None]
        if not pairs:
            raise ValueError("`grads_and_vars` has no gradient for any variable: nothing can train")
        # The base optimizer acts in the caller's name scope.
        scope = tf.get_default_graph().get_name_scope()
        with tf.name_scope(name, self._name), base_optimizer.keep_train_ops():
            direct, updates = self._divide(pairs)
            if self._tables.want_full_slots and len(direct) < len(pairs):
                graph = tf.get_default_graph()
                full_slots = self._full_slots.setdefault(graph, FullSlots(self._base))
                full_slots.make_all(pairs, updates, scope)
            with tf.control_dependencies([op for update in updates for op in update.load()]):
                applied = self._apply(direct + [each.pair for each in updates], global_step, scope)
            for update in updates:
                update.check_applied(applied, self._base)
            with tf.control_dependencies([applied]):
                train_op = tf.group(*[op for update in updates for op in update.store()])
        tf.add_to_collection(tf.GraphKeys.TRAIN_OP, train_op)
        return train_op

    def check_train_op(self, train_op: tf.Operation | tf.Tensor) -> None:
        """Checks that a training step can move the trainable rows of every wrapped table.

        TensorFlow is silent where a variable has no gradient as long as another one has.

        Args:
          train_op: what `minimize` or `apply_gradients` returned.

        Raises:
          KeyError: if a name or pattern matches no variable; the trainable ones are listed.
          ValueError: if `train_op` never writes a table that has trainable rows.
        """
        operations = train_ops.operations_run_by([train_op])
        for table in self._find_tables():
            if table.rows.count and not train_ops.writing_operations(operations, table.variable):
                raise ValueError(
                    f"`train_op` never changes {table.variable.op.name!r}, of which "
                    f"{table.rows.count} rows are to train: the loss does not depend on it, or "
                    f"`var_list` leaves it out"
                )

    def summary(self) -> str:
        """Returns which rows of which tables train, and what that saves, in a few aligned lines.

        What slots take is known once gradients were applied.
        """
        tables = self._find_tables()
        return f"{self._describe()}\n{summarize(tables, self._base, self._others or 'trainable')}"

    def get_slot(self, var: Any, name: str) -> Any | None:
        """Returns the base optimizer's slot variable of `var`, or None.

        Args:
          var: variable; of a wrapped one the slot is [count, dim], or of its full shape with
            `slots="full"`.
          name: string, the slot's name.
        """
        table = self._tables.get(var)
        if table is not None and table.scratch is not None and not table.full_slots:
            var = table.scratch
        return self._base.get_slot(var, name)

    def get_slot_names(self) -> list[str]:
        """Returns the names of the base optimizer's slots."""
        return self._base.get_slot_names()

    def variables(self) -> list[Any]:
        """Returns the variables of the optimizer's state, those that a checkpoint should hold."""
        base = self._base.variables
        found = list(base() if callable(base) else base)
        tables = [table for table in self._find_tables() if table.scratch is not None]
        unsaved = tuple(f"{table.scratch.op.name}/" for table in tables if table.full_slots)
        found = [each for each in found if not each.op.name.startswith(unsaved)]
        return found + [table.scratch for table in tables if not table.full_slots]

    def __repr__(self) -> str:
        return f"<{self._describe()}>"

    def _describe(self):
        slots = "full" if self._tables.want_full_slots else "rows"
        return (
            f"TrainableRowsOptimizer of {type(self._base).__name__}, {self._tables}, "
            f"slots={slots!r}, others={self._others or 'trainable'!r}"
        )

    def _find_tables(self, pairs=None):
        """Returns the tables of the default graph, checked; `pairs` are those with gradients."""
        check_graph_mode("TrainableRowsOptimizer")
        tables = self._tables.find()
        for table in tables:
            base_optimizer.check_keeps_nothing_of(self._base, table.variable)
            if pairs is not None:
                check_trains(table.variable, [variable for _, variable in pairs])
        return tables

    def _compute_gradients(self, sum_duplicates, loss, var_list, options):
        check_graph_mode("TrainableRowsOptimizer")
        source = self._base if base_optimizer.is_of_tf_train(self._base) else super()
        pairs = source.compute_gradients(loss, var_list=var_list, **options)
        self._find_tables(pairs)
        return [
            (self._filter(gradient, variable, sum_duplicates), variable)
            for gradient, variable in pairs
        ]

    def _check_var_list(self, loss, var_list, pairs):
        if var_list is not None and self._tables.want_full_slots and self._others != "trainable":
            check_var_list(loss, [variable for _, variable in pairs], self._find_tables())

    def _filter(self, gradient, variable, sum_duplicates=False):
        """Returns the gradient of what trains of a variable."""
        if gradient is None:
            return None
        if id(gradient) in self._filtered:
            return self._filtered[id(gradient)][1]
        table = self._tables.get(variable)
        if table is None:
            return keep_nothing(gradient) if self._others == "frozen" else gradient
        kept = keep_rows(gradient, table.rows, table.axis)
        filtered = sum_slices(kept) if sum_duplicates else kept
        # Kept, so that its id is no other gradient's.
        self._filtered[id(filtered)] = filtered, kept
        return filtered

    def _divide(self, pairs):
        """Returns the pairs for the base optimizer as they are, and a `TableUpdate` of each other.

        What is frozen wholly is in neither.
        """
        direct, updates = [], []
        for gradient, variable in pairs:
            table = self._tables.get(variable)
            if table is None:
                if self._others != "frozen":
                    direct.append((gradient, variable))
            elif table.rows.count:
                gradient = self._filter(gradient, variable)
                rowwise = base_optimizer.touches_only_slices(self._base, gradient)
                if self._leaves_frozen_rows(table, rowwise):
                    direct.append((gradient, variable))
                else:
                    table.make_scratch()
                    base_optimizer.check_names(self._base, variable, table.scratch)
                    updates.append(TableUpdate(table, gradient, rowwise, self._use_locking))
        return direct, updates

    def _leaves_frozen_rows(self, table, rowwise):
        """Whether the base optimizer may act on the table itself."""
        if table.rows.count == table.rows.size:
            return True
        return rowwise and (table.full_slots or base_optimizer.has_no_slots(self._base))

    def _apply(self, pairs, global_step, scope):
        if not pairs:
            return base_optimizer.count_step(global_step, [])
        reuse = self._tables.want_full_slots and not base_optimizer.makes_slots_apart(self._base)
        return base_optimizer.apply(self._base, pairs, global_step, scope, reuse)
