"""Lambda layers of Keras, which train no variable that their function uses."""

from __future__ import annotations

import inspect
import warnings
from typing import Any


def warn_of_lambda_layer(table: Any) -> None:
    """Warns if a table is being looked up in a Lambda layer.

    Keras trains the variables that are attributes of a layer. A Lambda layer has none, so that
    `model.fit` leaves the table as it is. Where an optimizer of TensorFlow trains, all is well;
    that cannot be known here, so this is no error.

    Args:
      table: `SplitTable`.
    """
    frame = inspect.currentframe()
    while frame is not None:
        # Keras need not be imported for this.
        if frame.f_code.co_name == "call" and _is_lambda_layer(frame.f_locals.get("self")):
            warnings.warn(
                f"table {table.name!r} is looked up in a Lambda layer, and Keras trains no "
                f"variable that it finds in one: with model.fit the rows of "
                f"{table.name!r} do not train. Look it up in a tf.keras.layers.Layer that has "
                f"table.trainable as an attribute, or train with an optimizer's `minimize`",
                stacklevel=3,
            )
            return
        frame = frame.f_back


def _is_lambda_layer(layer):
    return any(
        base.__name__ == "Lambda" and "keras" in base.__module__ for base in type(layer).__mro__
    )
