"""Slot variables of the table's shape for an optimizer that sees the trainable rows alone.

The optimizer makes its slots of the whole model, under the names that it would give them if it were
not wrapped, and those of the scratch variables. In each step, rows go to and fro between the two:

    table/Adam [num_rows, dim] ──load──> …/trainable_rows/Adam [count, dim] ──store──> table/Adam

What the slots of frozen rows hold stays; so do the slots of variables that are frozen wholly, which
are there so that a `Saver` of the whole graph finds what it found before.
"""

from __future__ import annotations

import contextlib
from typing import Any, Iterator

import tensorflow.compat.v1 as tf

from tf1_embed.graph.base_optimizer import apply, makes_slots_apart
from tf1_embed.graph.scratch import TableUpdate, WrappedTable
from tf1_embed.graph.train_ops import operations_under
from tf1_embed.raw_ops import create_slots


class FullSlots:
    """Has one optimizer make its slots in one graph, and knows which belong together."""

    def __init__(self, optimizer: Any):
        self._optimizer = optimizer
        self._made: list[Any] = []
        # The names of the variables that have their slots, and of the scratch variables of them.
        self._have_slots: set[str] = set()
        self._scratches: set[str] = set()

    def make_all(
        self, pairs: list[tuple[Any, Any]], updates: list[TableUpdate], name_scope: str
    ) -> None:
        """Has the optimizer make its slots of the model and of scratch variables, and pairs them.

        Args:
          pairs: list of (gradient, variable), all that the optimizer would get if not wrapped.
          updates: list of `TableUpdate`; those of tables with full slots get their `slots`.
          name_scope: string, that in which the optimizer applies gradients.

        Raises:
          ValueError: if a slot of a table has no counterpart that rows can go to and fro.
        """
        updates = [update for update in updates if update.table.full_slots]
        self._scratches.update(update.table.scratch.op.name for update in updates)
        self._make(pairs, name_scope)
        self._make([update.pair for update in updates], name_scope)
        for update in updates:
            update.slots = self._pairs_of(update.table)

    def _make(self, pairs, name_scope):
        """Has the optimizer make its slots for variables that it made none for yet."""
        pairs = [pair for pair in pairs if pair[1].op.name not in self._have_slots]
        if not pairs:
            return
        self._have_slots.update(variable.op.name for _, variable in pairs)
        with tf.variable_creator_scope(self._record):
            if makes_slots_apart(self._optimizer):
                # As tf.train.Optimizer.apply_gradients does.
                outer = tf.name_scope(f"{name_scope}/" if name_scope else None)
                with outer, tf.init_scope():
                    create_slots(self._optimizer, [variable for _, variable in pairs])
            else:
                with _keep_collections():
                    apply(self._optimizer, pairs, None, name_scope)

    def _pairs_of(self, table):
        """Returns pairs of slots of a table and of its scratch variable."""
        full_slots = self._slots_of(table.variable)
        pairs = {
            slot.op: (full_slots.get(name), slot)
            for name, slot in self._slots_of(table.scratch).items()
        }
        # A slot of the table may have been made before, and so not be recorded.
        for name in self._optimizer.get_slot_names():
            slot = self._optimizer.get_slot(table.scratch, name)
            if slot is not None:
                pairs[slot.op] = (self._optimizer.get_slot(table.variable, name), slot)
        for full, slot in pairs.values():
            shapes = [table.variable.shape, table.scratch.shape]
            if full is None or [full.shape, slot.shape] not in (shapes, [slot.shape, slot.shape]):
                raise ValueError(
                    f'{type(self._optimizer).__name__} cannot be wrapped with slots="full": its '
                    f"slot {slot.op.name!r} of shape {slot.shape.as_list()} has no rows. Use "
                    f'slots="rows"'
                )
        return list(pairs.values())

    def _record(self, next_creator, **kwargs):
        """A variable creator that keeps the slots of scratch variables out of checkpoints."""
        of_scratch = self._owner_of(str(kwargs.get("name"))) in self._scratches
        if of_scratch:
            kwargs.update(collections=[], use_resource=True)
        variable = next_creator(**kwargs)
        if of_scratch:
            # Keras makes variables of TensorFlow 2, which ignore `collections`.
            everywhere = tf.get_collection_ref(tf.GraphKeys.GLOBAL_VARIABLES)
            everywhere[:] = [each for each in everywhere if each is not variable]
        self._made.append(variable)
        return variable

    def _slots_of(self, variable) -> dict[str, Any]:
        """Returns a dict of the slots made for `variable`, by what follows its name in theirs."""
        name = variable.op.name
        return {
            slot.op.name.split(f"{name}/")[-1]: slot
            for slot in self._made
            if self._owner_of(slot.op.name) == name
        }

    def _owner_of(self, slot_name):
        """Returns the name of the variable that a slot is of, None if of none."""
        # Scopes may come before the variable's name; and one name may be the start of another.
        owners = [each for each in self._have_slots if f"/{each}/" in f"/{slot_name}"]
        return max(owners, key=len) if owners else None


def check_var_list(loss: tf.Tensor, variables: list[Any], tables: list[WrappedTable]) -> None:
    """Raises ValueError if `var_list` may be there to freeze others, which would lack their slots.

    Args:
      loss: `tf.Tensor`.
      variables: list of variables, those of `var_list`.
      tables: list of `WrappedTable`, those of the optimizer.
    """
    wrapped = {table.variable.op for table in tables}
    if not all(variable.op in wrapped for variable in variables):
        return
    causes = operations_under(loss).difference(variable.op for variable in variables)
    left_out = [each.op.name for each in tf.trainable_variables() if each.op in causes]
    if left_out:
        raise ValueError(
            f'`var_list` has wrapped tables alone, so that with slots="full" a checkpoint will '
            f"have no slots of the rest, such as {left_out[0]!r}. To freeze the rest and keep its "
            f'slots, give others="frozen" and no `var_list`. If the unmodified program has this '
            f'`var_list` too, give others="trainable"'
        )


@contextlib.contextmanager
def _keep_collections() -> Iterator[None]:
    """Takes out of the graph's collections all that is added within, but for variables.

    An optimizer that makes its slots as it applies gradients is asked to, and nothing runs what it
    adds: its training operation, updates and summaries must not be found.
    """
    graph = tf.get_default_graph()
    keys = tf.GraphKeys
    variables = {keys.GLOBAL_VARIABLES, keys.LOCAL_VARIABLES, keys.TRAINABLE_VARIABLES}
    before = {key: graph.get_collection(key) for key in graph.get_all_collection_keys()}
    try:
        yield
    finally:
        for key in set(graph.get_all_collection_keys()) - variables:
            graph.get_collection_ref(key)[:] = before.get(key, [])
