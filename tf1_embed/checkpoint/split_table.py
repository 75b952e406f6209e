"""The two variables of a grown or a row-split table, in a checkpoint, and their slot variables."""

from tf1_embed.checkpoint.slots import variable_name

# What follows a table's name in the name of the variable of its trainable rows.
NEW_ROWS, CHOSEN_ROWS = "_new_rows", "_trainable_rows"


def trainable_name(name, suffix=NEW_ROWS):
    """Returns the name in a checkpoint of the trainable rows of the table of that name there."""
    variable = variable_name(name)
    return name.replace(variable, variable + suffix, 1)


def rename_slot(slot, old_name, new_name):
    """Returns the name of a slot variable once its variable has another name."""
    head, _, tail = slot.name.rpartition(variable_name(old_name))
    return head + variable_name(new_name) + tail
