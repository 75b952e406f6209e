"""A scratch variable that holds just the trainable rows of a table while an optimizer acts.

    table ──load──> scratch [count, dim] ──optimizer──> scratch ──store──> table

With full slots, the slot variables of the table are loaded into those of the scratch variable, and
stored again, in the same way.
"""

import tensorflow.compat.v1 as tf

from tf1_embed.graph.row_ops import gather_rows, scatter_rows
from tf1_embed.graph.train_ops import check_precision, may_write, operations_under
from tf1_embed.graph.variables import is_ref

# The last part of the scratch variable's name.
SCRATCH = "trainable_rows"


class WrappedTable:
    """A wrapped variable, its trainable rows, and the scratch variable that holds them."""

    def __init__(self, variable, rows, axis):
        self.variable = variable
        self.rows = rows
        self.axis = axis
        self.scratch = None
        self._created = []

    def make_scratch(self, full_slots):
        """Makes the variable that the base optimizer sees, once."""
        if self.scratch is not None:
            return
        shape = self.variable.shape.as_list()
        shape[self.axis] = self.rows.count
        with tf.init_scope(), tf.device(self.variable.device), tf.name_scope(None):
            self.scratch = tf.Variable(
                lambda: tf.zeros(shape, self.variable.dtype.base_dtype),
                name=f"{self.variable.op.name}/{SCRATCH}",
                trainable=False,
                constraint=self.variable.constraint,
                # With full slots the state is in the table and its slots alone: the scratch
                # variable is loaded whole in each step, and no Saver finds it.
                collections=[] if full_slots else None,
                # A custom optimizer may know only the kind of variable that the table is.
                use_resource=full_slots or not is_ref(self.variable),
            )

    def record(self, next_creator, **kwargs):
        """A variable creator that keeps the slots of the scratch variable out of checkpoints."""
        of_scratch = f"/{SCRATCH}/" in str(kwargs.get("name"))
        if of_scratch:
            kwargs.update(collections=[], use_resource=True)
        variable = next_creator(**kwargs)
        if of_scratch:
            # Keras makes variables of TensorFlow 2, which ignore `collections`.
            everywhere = tf.get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)
            everywhere[:] = [each for each in everywhere if each is not variable]
        self._created.append(variable)
        return variable

    def paired_slots(self, optimizer):
        """Returns pairs of slots of the table and of the scratch variable.

        Raises:
          ValueError: if a slot of the one has no counterpart that rows can go to and fro.
        """
        full_slots = self._slots_of(self.variable)
        pairs = {
            slot.op: (full_slots.get(name), slot)
            for name, slot in self._slots_of(self.scratch).items()
        }
        # A slot of the table may have been made before, and so not be recorded.
        for name in optimizer.get_slot_names():
            slot = optimizer.get_slot(self.scratch, name)
            if slot is not None:
                pairs[slot.op] = (optimizer.get_slot(self.variable, name), slot)
        for full, slot in pairs.values():
            shapes = [self.variable.shape, self.scratch.shape]
            if full is None or [full.shape, slot.shape] not in (shapes, [slot.shape, slot.shape]):
                raise ValueError(
                    f'{type(optimizer).__name__} cannot be wrapped with slots="full": its slot '
                    f"{slot.op.name!r} of shape {slot.shape.as_list()} has no rows. Use "
                    f'slots="rows"'
                )
        return list(pairs.values())

    def _slots_of(self, variable):
        """Returns a dict of the slots made for `variable`, by the last part of their names."""
        # What comes before it, enclosing scopes, may differ between the two.
        prefix = f"{variable.op.name}/"
        slots = {
            each.op.name.split(prefix)[-1]: each for each in self._created if prefix in each.op.name
        }
        return {name: slot for name, slot in slots.items() if not name.startswith(f"{SCRATCH}/")}


class TableUpdate:
    """The operations around one application of the base optimizer to one table.

    Attributes:
      table: `WrappedTable`.
      pair: (re-indexed gradient, scratch variable), what the base optimizer is given.
      slots: list of pairs of slot variables, of the table and of the scratch variable, that are
        loaded and stored with the rows.
    """

    def __init__(self, table, gradient, rowwise, use_locking):
        self.table = table
        self._use_locking = use_locking
        self._ids = gradient.indices if rowwise else None
        self.slots = []
        if isinstance(gradient, tf.IndexedSlices):
            self._positions = table.rows.position(gradient.indices)
            shape = tf.shape(table.scratch, out_type=self._positions.dtype)
            gradient = tf.IndexedSlices(gradient.values, self._positions, shape)
        else:
            gradient = tf.gather(gradient, table.rows.ids_tensor(), axis=table.axis)
        self.pair = (gradient, table.scratch)

    def load(self):
        """Returns the operations that bring rows from the table into the scratch variable."""
        table = self.table
        if self._ids is not None:
            rows = tf.gather(table.variable, self._ids)
            self._loads = [tf.scatter_update(table.scratch, self._positions, rows).op]
        else:
            self._loads = [
                tf.assign(part, self._rows_of(whole)).op
                for whole, part in [(table.variable, table.scratch)] + self.slots
            ]
        return self._loads

    def store(self):
        """Returns the operations that bring them back."""
        table, locking = self.table, self._use_locking
        if self._ids is not None:
            rows = tf.gather(table.scratch, self._positions)
            return [tf.scatter_update(table.variable, self._ids, rows, locking).op]
        return [
            tf.assign(whole, part.read_value()).op
            if whole.shape == part.shape
            else scatter_rows(whole, table.rows, part.read_value(), table.axis, locking)
            for whole, part in [(table.variable, table.scratch)] + self.slots
        ]

    def check_applied(self, applied, optimizer):
        """Raises ValueError if the base optimizer did nothing, as some of Keras's do.

        Or if it would divide by a constant that is zero in the table's precision.
        """
        operations = operations_under(applied).difference(self._loads)
        if not any(may_write(operation, self.table.scratch) for operation in operations):
            raise ValueError(
                f"{type(optimizer).__name__} cannot be wrapped: it does nothing in graph mode. Use "
                f"one of tf.train, or of tf.keras.optimizers.legacy"
            )
        check_precision(operations, self.table.variable)

    def _rows_of(self, whole):
        if whole.shape == self.table.scratch.shape:
            return whole.read_value()
        return gather_rows(whole, self.table.rows, self.table.axis)
