"""Train only the new rows of a trained embedding table, in TensorFlow graph mode.

The names are imported at their first use, so that `import tf1_embed` does not pay for TensorFlow.
"""

import importlib

from tf1_embed.version import __version__

_MODULE_OF_NAME = {
    "CheckpointDamaged": "tf1_embed.checkpoint.files.find",
    "FrozenRowsChanged": "tf1_embed.proof.frozen_bits",
    "FrozenRowsChecker": "tf1_embed.proof.checker",
    "FrozenRowsHook": "tf1_embed.proof.checker",
    "GrownTable": "tf1_embed.table",
    "RowSplitTable": "tf1_embed.table",
    "Rows": "tf1_embed.rows",
    "TrainableRowsOptimizer": "tf1_embed.optimizer",
    "apply_delta": "tf1_embed.checkpoint.delta",
    "audit": "tf1_embed.auditing",
    "audit_metagraph": "tf1_embed.auditing",
    "check_frozen_rows": "tf1_embed.proof.checker",
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
    "grown_rows": "tf1_embed.certificates",
    "import_vectors": "tf1_embed.checkpoint.vectors",
    "initializers": "tf1_embed.initializers",
    "inspect_checkpoint": "tf1_embed.checkpoint.inspect",
    "matmul": "tf1_embed.lookup",
    "merge_checkpoint": "tf1_embed.checkpoint.merge",
    "project_rows": "tf1_embed.graph.row_ops",
    "read_certificates": "tf1_embed.certificates",
    "read_delta": "tf1_embed.checkpoint.delta",
    "revert_delta": "tf1_embed.checkpoint.delta",
    "safe_embedding_lookup_sparse": "tf1_embed.sparse_lookup",
    "split_checkpoint": "tf1_embed.checkpoint.split",
    "summaries": "tf1_embed.proof.summaries",
    "verify_checkpoint": "tf1_embed.checkpoint.verify",
}

__all__ = ["__version__", *_MODULE_OF_NAME]


def __getattr__(name):
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'tf1_embed' has no attribute {name!r}")
    try:
        module = importlib.import_module(_MODULE_OF_NAME[name])
    except ImportError as error:
        if not (error.name or "").startswith("tensorflow"):
            raise
        raise ImportError(
            f"tf1_embed.{name} needs TensorFlow, which is not installed. Install the one that your "
            f"code runs on, 1.13 or newer, for example: pip install tensorflow"
        ) from error
    value = getattr(module, name, module)
    globals()[name] = value
    return value


def __dir__():
    return sorted(__all__)
