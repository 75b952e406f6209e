"""Train only the new rows of a trained embedding table, in TensorFlow graph mode.

    get_grown_table               a trained table with new rows appended, of which only those train
    get_row_split_table           a trained table of which only chosen rows train
    GrownTable                    what the first returns: a frozen and a trainable variable
    RowSplitTable                 what the second returns: likewise
    Rows                          which rows of a table
    initializers                  values for new rows

    embedding_lookup              vectors of ids, old and new ones mixed
    embedding_lookup_sparse       vectors of sparse ids, combined
    safe_embedding_lookup_sparse  the same, with a vector for no ids
    matmul                        logits over all rows

    solve_rows                    new rows of a frozen model, solved rather than trained
    RowSolver                     the same, prepared once for facts that come in time after time
    choose_solver                 the prior of new rows, chosen by solving old ones as if new
    Background                    what old rows and old queries say of new rows
    row_queries                   what a model asks of a row, read off its graph
    interference                  what right old answers lose to new rows
    thaw_rows                     the old rows that new facts are about, to train them as well

    TrainableRowsOptimizer        any optimizer on chosen rows of ordinary variables
    grown_rows                    the rows that a growth appended, to hand to it
    freeze_rows                   gradients without those of frozen rows
    project_rows                  a projection of chosen rows

    FrozenRowsHook                checks frozen rows, bit for bit, while a model trains
    FrozenRowsChecker             checks them in any session, again and again
    check_frozen_rows             checks them once
    FrozenRowsChanged             what these raise
    summaries                     how new rows train, for TensorBoard
    fingerprint                   the SHA-256 of rows
    fingerprint_checkpoint        the same of rows in a checkpoint
    read_certificates             the certificates beside a checkpoint
    audit                         what in a graph can move a frozen row
    audit_metagraph               the same of a saved graph

    CheckpointDamaged             what all that reads checkpoints may raise
    inspect_checkpoint            lists the variables of a checkpoint
    grow_checkpoint               gives tables more rows, and their slots
    shrink_checkpoint             takes rows away from tables, and from their slots
    grow_saved_model              the same for a SavedModel, and its graphs
    grow_metagraph                the same for a checkpoint and its `.meta` graph
    merge_checkpoint              makes one variable of two, under the old name
    split_checkpoint              makes two variables of one
    repartition_checkpoint        stores tables in another number of partitions
    verify_checkpoint             compares every old row, bit for bit
    diff_checkpoints              tells what became of every variable
    extract_delta                 writes the new rows to small files of their own
    apply_delta                   appends them to a base checkpoint
    revert_delta                  takes them off again
    read_delta                    reads them
    import_vectors                makes a checkpoint of a file of word vectors
    export_vectors                writes a table to such a file

The names are imported at their first use, so that `import tf1_embed` does not pay for TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from tf1_embed.version import __version__

_MODULE_OF_NAME = {
    "Background": "tf1_embed.solving.background",
    "CheckpointDamaged": "tf1_embed.checkpoint.files.find",
    "FrozenRowsChanged": "tf1_embed.proof.frozen_bits",
    "FrozenRowsChecker": "tf1_embed.proof.checker",
    "FrozenRowsHook": "tf1_embed.proof.checker",
    "GrownTable": "tf1_embed.table",
    "RowSolver": "tf1_embed.solving.solve",
    "RowSplitTable": "tf1_embed.table",
    "Rows": "tf1_embed.rows",
    "TrainableRowsOptimizer": "tf1_embed.optimizer",
    "apply_delta": "tf1_embed.checkpoint.delta",
    "audit": "tf1_embed.auditing",
    "audit_metagraph": "tf1_embed.auditing",
    "check_frozen_rows": "tf1_embed.proof.checker",
    "choose_solver": "tf1_embed.solving.choose",
    "diff_checkpoints": "tf1_embed.checkpoint.diff",
    "embedding_lookup": "tf1_embed.lookup",
    "embedding_lookup_sparse": "tf1_embed.sparse_lookup",
    "export_vectors": "tf1_embed.checkpoint.vectors",
    "extract_delta": "tf1_embed.checkpoint.delta",
    "fingerprint": "tf1_embed.proof.fingerprint",
    "fingerprint_checkpoint": "tf1_embed.proof.fingerprint",
    "freeze_rows": "tf1_embed.gradients",
    "get_grown_table": "tf1_embed.get_table",
    "get_row_split_table": "tf1_embed.get_table",
    "grow_checkpoint": "tf1_embed.checkpoint.grow",
    "grow_metagraph": "tf1_embed.saved.grow",
    "grow_saved_model": "tf1_embed.saved.grow",
    "grown_rows": "tf1_embed.certificates",
    "import_vectors": "tf1_embed.checkpoint.vectors",
    "inspect_checkpoint": "tf1_embed.checkpoint.inspect",
    "interference": "tf1_embed.solving.interference",
    "matmul": "tf1_embed.lookup",
    "merge_checkpoint": "tf1_embed.checkpoint.merge",
    "project_rows": "tf1_embed.graph.row_ops",
    "read_certificates": "tf1_embed.certificates",
    "read_delta": "tf1_embed.checkpoint.delta",
    "repartition_checkpoint": "tf1_embed.checkpoint.repartition",
    "revert_delta": "tf1_embed.checkpoint.delta",
    "row_queries": "tf1_embed.solving.queries",
    "safe_embedding_lookup_sparse": "tf1_embed.sparse_lookup",
    "shrink_checkpoint": "tf1_embed.checkpoint.shrink",
    "solve_rows": "tf1_embed.solving.solve",
    "split_checkpoint": "tf1_embed.checkpoint.split",
    "summaries": "tf1_embed.proof.summaries",
    "thaw_rows": "tf1_embed.solving.thaw",
    "verify_checkpoint": "tf1_embed.checkpoint.verify",
}

# Public names that are modules themselves.
_MODULES = ("initializers",)

if TYPE_CHECKING:
    # What editors and type checkers see. A `__getattr__` would tell them that every name is there,
    # misspelt ones too, and an `__all__` that is computed says nothing to them.
    from tf1_embed import initializers as initializers
    from tf1_embed.auditing import audit as audit
    from tf1_embed.auditing import audit_metagraph as audit_metagraph
    from tf1_embed.certificates import grown_rows as grown_rows
    from tf1_embed.certificates import read_certificates as read_certificates
    from tf1_embed.checkpoint.delta import apply_delta as apply_delta
    from tf1_embed.checkpoint.delta import extract_delta as extract_delta
    from tf1_embed.checkpoint.delta import read_delta as read_delta
    from tf1_embed.checkpoint.delta import revert_delta as revert_delta
    from tf1_embed.checkpoint.diff import diff_checkpoints as diff_checkpoints
    from tf1_embed.checkpoint.files.find import CheckpointDamaged as CheckpointDamaged
    from tf1_embed.checkpoint.grow import grow_checkpoint as grow_checkpoint
    from tf1_embed.checkpoint.inspect import inspect_checkpoint as inspect_checkpoint
    from tf1_embed.checkpoint.merge import merge_checkpoint as merge_checkpoint
    from tf1_embed.checkpoint.repartition import repartition_checkpoint as repartition_checkpoint
    from tf1_embed.checkpoint.shrink import shrink_checkpoint as shrink_checkpoint
    from tf1_embed.checkpoint.split import split_checkpoint as split_checkpoint
    from tf1_embed.checkpoint.vectors import export_vectors as export_vectors
    from tf1_embed.checkpoint.vectors import import_vectors as import_vectors
    from tf1_embed.checkpoint.verify import verify_checkpoint as verify_checkpoint
    from tf1_embed.get_table import get_grown_table as get_grown_table
    from tf1_embed.get_table import get_row_split_table as get_row_split_table
    from tf1_embed.gradients import freeze_rows as freeze_rows
    from tf1_embed.graph.row_ops import project_rows as project_rows
    from tf1_embed.lookup import embedding_lookup as embedding_lookup
    from tf1_embed.lookup import matmul as matmul
    from tf1_embed.optimizer import TrainableRowsOptimizer as TrainableRowsOptimizer
    from tf1_embed.proof.checker import FrozenRowsChecker as FrozenRowsChecker
    from tf1_embed.proof.checker import FrozenRowsHook as FrozenRowsHook
    from tf1_embed.proof.checker import check_frozen_rows as check_frozen_rows
    from tf1_embed.proof.fingerprint import fingerprint as fingerprint
    from tf1_embed.proof.fingerprint import fingerprint_checkpoint as fingerprint_checkpoint
    from tf1_embed.proof.frozen_bits import FrozenRowsChanged as FrozenRowsChanged
    from tf1_embed.proof.summaries import summaries as summaries
    from tf1_embed.rows import Rows as Rows
    from tf1_embed.saved.grow import grow_metagraph as grow_metagraph
    from tf1_embed.saved.grow import grow_saved_model as grow_saved_model
    from tf1_embed.solving.background import Background as Background
    from tf1_embed.solving.choose import choose_solver as choose_solver
    from tf1_embed.solving.interference import interference as interference
    from tf1_embed.solving.queries import row_queries as row_queries
    from tf1_embed.solving.solve import RowSolver as RowSolver
    from tf1_embed.solving.solve import solve_rows as solve_rows
    from tf1_embed.solving.thaw import thaw_rows as thaw_rows
    from tf1_embed.sparse_lookup import embedding_lookup_sparse as embedding_lookup_sparse
    from tf1_embed.sparse_lookup import safe_embedding_lookup_sparse as safe_embedding_lookup_sparse
    from tf1_embed.table import GrownTable as GrownTable
    from tf1_embed.table import RowSplitTable as RowSplitTable

else:
    __all__ = ["__version__", *_MODULE_OF_NAME, *_MODULES]

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'tf1_embed' has no attribute {name!r}")
        try:
            if name in _MODULES:
                return importlib.import_module(f"tf1_embed.{name}")
            value = getattr(importlib.import_module(_MODULE_OF_NAME[name]), name)
        except ImportError as error:
            if not (error.name or "").startswith("tensorflow"):
                raise
            raise ImportError(
                f"tf1_embed.{name} needs TensorFlow, which is not installed. Install the one that "
                f"your code runs on, 1.13 or newer, for example: pip install tensorflow"
            ) from error
        globals()[name] = value
        return value

    def __dir__():
        return sorted(__all__)
