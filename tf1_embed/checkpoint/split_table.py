"""The two variables of a grown or a row-split table, in a checkpoint, and their slot variables."""

from tf1_embed.checkpoint.slots import variable_name

# What follows a table's name in the name of the variable of its trainable rows.
NEW_ROWS, CHOSEN_ROWS = "_new_rows", "_trainable_rows"


def trainable_name(name, suffix=NEW_ROWS):
    """Returns the name in a checkpoint of the trainable rows of the table of that name there."""
    variable = variable_name(name)
    return variable + suffix + name[len(variable) :]


def rename_slot(slot, table):
    """Returns the name of a slot variable once its variable is called `table` in the checkpoint."""
    old_name, new_name = variable_name(slot.table), variable_name(table)
    if slot.source != slot.name:
        # One variable has no partitions, whose names are in this one.
        return f"{new_name}/{slot.kind}"
    end = f"{old_name}/{slot.kind}"
    if slot.name.endswith(end):
        return slot.name[: -len(end)] + f"{new_name}/{slot.kind}"
    return new_name + slot.name[len(old_name) :]
