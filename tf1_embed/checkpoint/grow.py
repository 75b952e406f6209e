"""Appends rows to tables in a checkpoint, and to all that has a row for each of theirs."""

from tf1_embed import initializers
from tf1_embed.checkpoint.clocks import find_clocks, fresh_clocks
from tf1_embed.checkpoint.files.reader import CheckpointReader
from tf1_embed.checkpoint.growth import Growth, certificates_of
from tf1_embed.checkpoint.rewrite import rewrite
from tf1_embed.checkpoint.slot_values import SAME_AS_TABLE, check_slot_values, initial_value
from tf1_embed.checkpoint.slots import find_slots, variable_name
from tf1_embed.checkpoint.vocabulary_axis import also_axes, table_axes
from tf1_embed.vocabulary import append_map


def grow_checkpoint(
    checkpoint,
    tables,
    out,
    num_new_rows=None,
    id_map=None,
    also=(),
    initializer=None,
    slot_values=None,
    reset_slots=False,
    clocks=None,
    partition_strategy=None,
    force=False,
    dry_run=False,
    progress=None,
):
    """Writes a checkpoint in which tables have more rows, their slot variables likewise.

    The model's original code, given the larger number of rows, restores it with an unmodified
    `tf.train.Saver` and goes on training. Old rows keep their bits, and their ids unless `id_map`
    moves them; a certificate of them, `<out>.rows.json`, lies beside the checkpoint. All other
    variables pass through bit for bit. Tables are streamed; the new rows and
    a few chunks are in memory.

        embedding [10, 4]         embedding [12, 4]
        embedding/Adam [10, 4]    embedding/Adam [12, 4], zeros in the new rows
        bias [10]                 bias [12], with also=["bias"]
        projection [4, 10]        projection [4, 12], with also=["projection:1"]
        global_step               global_step

    Args:
      checkpoint: string, a checkpoint prefix on a local disk, TF1 or TF2 object-based, or a folder,
        whose latest is taken. It is not written to.
      tables: list of strings, names or patterns (`user_*`) of variables of shape
        [num_rows, ...]; those of one call get the same ids.
      out: string, the prefix to write; its folder must exist.
      num_new_rows: int, the number of rows to append; or give `id_map`.
      id_map: `tf1_embed.vocabulary.IdMap` from `id_map` or `append_map` there.
      also: list of strings, other variables that have the same vocabulary: biases, or, with the
        axis as in "projection:1", projections. `vocabulary_axis.find_also` finds what may be
        meant. Slots of Keras 3's optimizers ("optimizer/_variables/2") are variables like others:
        give them here, with an initializer.
      initializer: values of new rows: one of `tf1_embed.initializers`, a TensorFlow initializer, an
        array, or a dict from names of variables to such. Default: `glorot_normal()` for what has
        rank 2, zeros for what has rank 1 and is in `also`.
      slot_values: dict from the last part of a slot variable's name ("Adagrad"), or its whole name,
        to its value in new rows. Default: what TensorFlow's optimizers begin with, and a moving
        average with the new row itself.
      reset_slots: bool, whether slots of old rows start anew as well. Moving averages go on.
      clocks: "fresh" or "keep": whether what counts the optimizer's steps (Adam's `beta1_power`,
        Keras' `iter`) begins anew, as the slots of new rows do, or goes on as it is, so that
        these rows step up to 6 times too far (see `tf1_embed.checkpoint.clocks`). Default: anew;
        for AdaMax it must be given. What it begins with, where the checkpoint does not tell, may be
        in `slot_values`.
      partition_strategy: "mod" or "div", how the model's lookups send ids to partitions
        (`tf.nn.embedding_lookup` defaults to "mod", feature columns use "div"). Needed where a
        table has partitions; the number of them stays.
      force: bool, whether a checkpoint at `out` is replaced. The input never is.
      dry_run: bool, whether nothing is written.
      progress: function of the number of bytes in all, which returns a context with a method
        `update(num_bytes)`, such as a `tqdm`.

    Returns:
      list of `Written`, what becomes of each tensor.

    Raises:
      FileNotFoundError: if there is no such checkpoint, or no folder to write to.
      FileExistsError: if `out` exists and not `force`, or is the input.
      KeyError: if a name in `tables`, `also`, `initializer` or `slot_values` matches nothing.
      TypeError: if an initializer is of no known kind.
      ValueError: if arguments contradict the checkpoint or each other, a variable would grow twice,
        `partition_strategy` is needed and not given, or what a slot variable or a
        clock begins with is not known.
      OSError: if the disk is full.
      CheckpointDamaged: if the checkpoint is damaged.
    """
    if (num_new_rows is None) == (id_map is None):
        raise ValueError("give either `num_new_rows` or `id_map`")
    with CheckpointReader(checkpoint) as reader:
        tables, others = table_axes(reader, tables), also_axes(reader, also)
        axes = tables + others
        names = [axis.name for axis in axes]
        slots = [slot for slot in find_slots(reader).values() if slot.table in names]
        _check_once(names + [slot.name for slot in slots])
        _check_initializer(axes, initializer)
        check_slot_values(slots, slot_values, find_clocks(reader))
        changes, growths = fresh_clocks(reader, slots, clocks, slot_values), []
        for axis in axes:
            mapping = append_map(axis.size, num_new_rows) if id_map is None else id_map
            growth = Growth(reader, axis, mapping, partition_strategy)
            is_bias = axis in others and len(reader.shape(axis.name)) == 1
            new_rows = growth.make_new_rows(_initializer_of(axis, initializer, is_bias))
            changes[axis.name] = growth.change(axis.name, new_rows)
            growths.append(growth)
            for slot in slots:
                # A slot variable of one number a row has nothing to a column.
                if slot.table == axis.name and len(reader.shape(slot.name)) > axis.axis:
                    value = initial_value(reader, slot, slot_values)
                    if value == SAME_AS_TABLE:
                        change = growth.change(slot.name, new_rows, slot.source)
                    else:
                        old = value if reset_slots else slot.source
                        change = growth.change(slot.name, value, old)
                    changes[slot.name] = change
        certify = certificates_of(growths)
        return rewrite(reader, changes, out, force, dry_run, progress, certify)


def _check_once(names):
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"{variable_name(name)!r} would grow twice: it is in `tables` or `also` more than "
                f"once, or is a slot variable of what is. Name it once"
            )


def _check_initializer(axes, initializer):
    known = {name for axis in axes for name in (str(axis), variable_name(axis.name))}
    for name in initializer if isinstance(initializer, dict) else ():
        if name not in known:
            raise KeyError(
                f"`initializer` has {name!r}, which is none of the variables that grow: "
                f"{', '.join(sorted(known))}"
            )


def _initializer_of(axis, initializer, is_bias):
    if isinstance(initializer, dict):
        initializer = initializer.get(str(axis), initializer.get(variable_name(axis.name)))
    if initializer is not None:
        return initializer
    return initializers.zeros() if is_bias else initializers.glorot_normal()
