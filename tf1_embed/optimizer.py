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
"""

import tensorflow.compat.v1 as tf

from tf1_embed.gradients import check_pairs, keep_rows
from tf1_embed.graph.scratch import SCRATCH, TableUpdate, WrappedTable
from tf1_embed.graph.variables import check_variable, rows_by_partition

# Optimizers of which the update by slices leaves all other rows alone, and their slots too. Their
# subclasses may do otherwise. Adam is not one: it moves every row by its momentum.
_SPARSE_OPTIMIZERS = (
    tf.train.AdadeltaOptimizer,
    tf.train.AdagradDAOptimizer,
    tf.train.AdagradOptimizer,
    tf.train.FtrlOptimizer,
    tf.train.GradientDescentOptimizer,
    tf.train.MomentumOptimizer,
    tf.train.ProximalAdagradOptimizer,
    tf.train.ProximalGradientDescentOptimizer,
    tf.train.RMSPropOptimizer,
)
_SLOTLESS_OPTIMIZERS = (
    tf.train.GradientDescentOptimizer,
    tf.train.ProximalGradientDescentOptimizer,
)


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
      slots. What they hold of frozen rows stays, bit for bit.

    Under `tf.xla.experimental.compile` only "rows" works.

    With "rows", a checkpoint from before the optimizer was wrapped lacks the slots and the scratch
    variable: restore it with a Saver of the model's own variables.

    One training step of a table at a time: steps that run at once, of several threads or of
    asynchronous workers, share the scratch variable and lose updates of trainable rows, though they
    never touch a frozen one. For these, use `tf1_embed.get_grown_table`.

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
        optimizer,
        trainable_rows,
        slots="rows",
        axis=0,
        partition_strategy=None,
        use_locking=False,
        name="TrainableRows",
    ):
        """Wraps an optimizer.

        Args:
          optimizer: `tf.train.Optimizer`, or a `tf.keras` optimizer that works in graph mode.
          trainable_rows: dict from variable, of shape [num_rows, dim] or [num_rows], to its
            trainable `Rows`. A partitioned variable takes the rows of the whole table.
          slots: "rows" or "full", see above.
          axis: int, 0 or 1, the axis that ids count along; or a dict from variable to it, for those
            where it is 1, such as an output projection [dim, num_rows].
          partition_strategy: "mod" or "div", how ids go to the partitions of a partitioned
            variable: the one that its lookups use.
          use_locking: bool, whether a variable's lock is held while rows are written to it; it is
            no lock around a whole step.
          name: string, a name for the operations.

        Raises:
          TypeError: if `optimizer` is no optimizer, or a key of `trainable_rows` is a tensor rather
            than a variable, or a value not `Rows`.
          ValueError: if `optimizer` cannot be wrapped, the reason being told; if a table is wrapped
            twice; if rows are not of their variable's size; if a variable has more than one
            partition and `partition_strategy` is not given; if `slots` is neither.
        """
        super().__init__(use_locking, name)
        _check_optimizer(optimizer)
        if slots not in ("rows", "full"):
            raise ValueError(f'`slots` must be "rows" or "full", got {slots!r}')
        self._base = optimizer
        self._full_slots = slots == "full"
        self._tables = {}
        for variable, rows in trainable_rows.items():
            own_axis = axis.get(variable, 0) if isinstance(axis, dict) else axis
            for part, part_rows in rows_by_partition(variable, rows, partition_strategy):
                check_variable(part, part_rows, own_axis)
                if part.op in self._tables or part.op in _wrapped_ops(optimizer):
                    raise ValueError(
                        f"variable {part.op.name!r} is wrapped twice; give all its trainable rows "
                        f"to one TrainableRowsOptimizer"
                    )
                self._tables[part.op] = WrappedTable(part, part_rows, own_axis)
        # The gradients that compute_gradients has filtered already, by identity.
        self._filtered = []
        self._outer_scope = None

    def compute_gradients(self, loss, var_list=None, **kwargs):
        """Computes the gradients of `loss`, without those of frozen rows.

        Takes what the base optimizer's `compute_gradients` takes.

        Returns:
          list of (gradient, variable) pairs. In the slices of a wrapped table each row occurs once,
          so that `tf.clip_by_global_norm` finds the norm of the trainable rows' gradient.

        Raises:
          ValueError: if a wrapped variable is not among the variables, or has no gradient.
        """
        return self._compute_gradients(True, loss, var_list, kwargs)

    def minimize(
        self,
        loss,
        global_step=None,
        var_list=None,
        gate_gradients=tf.train.Optimizer.GATE_OP,
        aggregation_method=None,
        colocate_gradients_with_ops=False,
        name=None,
        grad_loss=None,
    ):
        """Adds operations to minimize `loss`, as `tf.train.Optimizer.minimize` does."""
        options = {
            "gate_gradients": gate_gradients,
            "aggregation_method": aggregation_method,
            "colocate_gradients_with_ops": colocate_gradients_with_ops,
            "grad_loss": grad_loss,
        }
        # Duplicates stay, since the base optimizer may treat them in its own way.
        pairs = self._compute_gradients(False, loss, var_list, options)
        return self.apply_gradients(pairs, global_step=global_step, name=name)

    def apply_gradients(self, grads_and_vars, global_step=None, name=None):
        """Applies gradients to the trainable rows of wrapped tables and to all other variables.

        Args:
          grads_and_vars: list of (gradient, variable) pairs, of `compute_gradients` or of
            `tf.gradients`; gradients of frozen rows are dropped.
          global_step: variable to increment, or None.
          name: string, a name for the operation.

        Returns:
          `tf.Operation` that takes a training step.

        Raises:
          ValueError: if a wrapped variable is not among the pairs or has no gradient, or if the
            optimizer cannot be wrapped, the reason being told.
        """
        pairs = list(grads_and_vars)
        check_pairs(pairs, [table.variable for table in self._tables.values()])
        # The base optimizer acts in the caller's name scope: it names variables by it, such as
        # Adam's beta1_power, which a checkpoint must find.
        self._outer_scope = tf.get_default_graph().get_name_scope()
        base_pairs, updates = [], []
        with tf.name_scope(name, self._name):
            for gradient, variable in pairs:
                table = self._tables.get(variable.op)
                if table is None:
                    base_pairs.append((gradient, variable))
                elif table.rows.count:
                    gradient = self._filter(gradient, table)
                    if self._base_leaves_frozen_rows(gradient, table):
                        base_pairs.append((gradient, variable))
                    else:
                        updates.append(self._update(gradient, table))
                        base_pairs.append(updates[-1].pair)
            if self._full_slots and updates:
                self._pair_slots([pair for pair in pairs if pair[0] is not None], updates)
            with tf.control_dependencies([op for update in updates for op in update.load()]):
                if updates == [] and all(gradient is None for gradient, _ in base_pairs):
                    return tf.no_op() if global_step is None else tf.assign_add(global_step, 1).op
                applied = self._apply_base(base_pairs, global_step)
            for update in updates:
                update.check_applied(applied, self._base)
            with tf.control_dependencies([applied]):
                return tf.group(*[op for update in updates for op in update.store()])

    def get_slot(self, var, name):
        """Returns the base optimizer's slot variable of `var`, or None.

        Args:
          var: variable; of a wrapped one the slot is [count, dim], or of its full shape with
            `slots="full"`.
          name: string, the slot's name.
        """
        table = self._tables.get(var.op)
        if table is not None and table.scratch is not None and not self._full_slots:
            var = table.scratch
        return self._base.get_slot(var, name)

    def get_slot_names(self):
        """Returns the names of the base optimizer's slots."""
        return self._base.get_slot_names()

    def variables(self):
        """Returns the variables of the optimizer's state, those that a checkpoint should hold."""
        base = self._base.variables
        variables = list(base() if callable(base) else base)
        if self._full_slots:
            return [each for each in variables if f"/{SCRATCH}/" not in each.op.name]
        scratches = [table.scratch for table in self._tables.values()]
        return variables + [each for each in scratches if each is not None]

    def _compute_gradients(self, sum_duplicates, loss, var_list, options):
        if isinstance(self._base, tf.train.Optimizer):
            pairs = self._base.compute_gradients(loss, var_list=var_list, **options)
        else:
            pairs = super().compute_gradients(loss, var_list=var_list, **options)
        check_pairs(pairs, [table.variable for table in self._tables.values()])
        return [
            (self._filter(gradient, self._tables[variable.op], sum_duplicates), variable)
            if variable.op in self._tables
            else (gradient, variable)
            for gradient, variable in pairs
        ]

    def _filter(self, gradient, table, sum_duplicates=False):
        if any(gradient is each for each in self._filtered):
            return gradient
        filtered = keep_rows(gradient, table.rows, sum_duplicates, table.axis)
        self._filtered.append(filtered)
        return filtered

    def _base_leaves_frozen_rows(self, gradient, table):
        """Whether the base optimizer may act on the table itself."""
        if table.rows.count == table.rows.size:
            return True
        no_slots_of_rows = self._full_slots or type(self._base) in _SLOTLESS_OPTIMIZERS
        return no_slots_of_rows and _touches_only_slices(self._base, gradient)

    def _update(self, gradient, table):
        table.make_scratch(self._full_slots)
        rowwise = _touches_only_slices(self._base, gradient)
        return TableUpdate(table, gradient, rowwise, self._use_locking)

    def _pair_slots(self, pairs, updates):
        """Has the base optimizer make its slots for the tables and for the scratch variables.

        It makes them as it applies gradients, so it is asked to, and nothing runs what it adds.
        """
        if not isinstance(self._base, tf.train.Optimizer):
            # Keras names slots by the scope of the call: one call, as without a wrapper.
            self._apply_base(pairs, None)
        gradient_of = {variable.op: gradient for gradient, variable in pairs}
        for update in updates:
            table = update.table
            for pair in ((gradient_of[table.variable.op], table.variable), update.pair):
                with tf.variable_creator_scope(table.record):
                    discarded = self._apply_base([pair], None)
                train_ops = tf.get_collection_ref(tf.GraphKeys.TRAIN_OP)
                if discarded in train_ops:
                    train_ops.remove(discarded)
            update.slots = table.paired_slots(self._base)

    def _apply_base(self, pairs, global_step):
        scope = tf.get_variable_scope()
        # A custom optimizer makes its slots with get_variable, each time it applies gradients.
        reuse = tf.AUTO_REUSE if self._full_slots else scope.reuse
        outer = tf.name_scope(f"{self._outer_scope}/" if self._outer_scope else None)
        with outer, tf.variable_scope(scope, reuse=reuse, auxiliary_name_scope=False):
            if isinstance(self._base, tf.train.Optimizer):
                return self._base.apply_gradients(pairs, global_step=global_step)
            applied = self._base.apply_gradients(pairs)
        if global_step is None:
            return applied
        with tf.control_dependencies([applied]):
            return tf.assign_add(global_step, 1).op


def _touches_only_slices(optimizer, gradient):
    return isinstance(gradient, tf.IndexedSlices) and type(optimizer) in _SPARSE_OPTIMIZERS


def _check_optimizer(optimizer):
    if not hasattr(optimizer, "apply_gradients"):
        raise TypeError(f"`optimizer` must be an optimizer, got {optimizer!r}")
    if isinstance(optimizer, tf.train.SyncReplicasOptimizer):
        raise ValueError(
            "SyncReplicasOptimizer cannot be wrapped, since it applies gradients in a queue of its "
            "own. Wrap the optimizer within: SyncReplicasOptimizer(TrainableRowsOptimizer(...))"
        )
    # Of tf.contrib, so known by its name only. It would start from the scratch variable's zeros.
    if type(optimizer).__name__ == "MovingAverageOptimizer":
        raise ValueError(
            "MovingAverageOptimizer cannot be wrapped, since its averages start from the values "
            "of the variables it is given. Wrap the optimizer within: "
            "MovingAverageOptimizer(TrainableRowsOptimizer(...))"
        )
    # The optimizers of Keras that make slots by `add_slot` work in graph mode; their successors
    # do nothing there, and those of Keras 3 fail.
    if not isinstance(optimizer, tf.train.Optimizer) and not hasattr(optimizer, "add_slot"):
        raise ValueError(
            f"{type(optimizer).__name__} of {type(optimizer).__module__} cannot be wrapped: it "
            f"does nothing in graph mode. Use one of tf.train, or of tf.keras.optimizers.legacy"
        )


def _wrapped_ops(optimizer):
    """Returns the operations of the variables that `optimizer`, and those within, wrap already."""
    if not isinstance(optimizer, TrainableRowsOptimizer):
        return set()
    return set(optimizer._tables) | _wrapped_ops(optimizer._base)
