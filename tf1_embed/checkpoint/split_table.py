"""The two variables of a grown or a row-split table, in a checkpoint, and their slot variables."""

from tf1_embed.checkpoint.slots import variable_name

# What follows a table's name in the name of the variable of its trainable rows.
NEW_ROWS, CHOSEN_ROWS = "_new_rows", "_trainable_rows"


def trainable_name(name, suffix=NEW_ROWS):
    """Returns the name in a checkpoint of the trainable rows of the table of that name there."""
    variable = variable_name(name)
    return variable + suffix + name[len(variable) :]


def rename_slot(slot, table):
    """Returns the name of a slot variable once its variable is called `table`.

    Both are of a checkpoint of names; in an object-based one, its graph names the slots.
    """
    end = f"{slot.table}/{slot.kind}"
    # Else TensorFlow put a partition's name in it, see `find_slots`; one variable has none.
    scope = slot.name[: -len(end)] if slot.name.endswith(end) else ""
    return f"{scope}{table}/{slot.kind}"
