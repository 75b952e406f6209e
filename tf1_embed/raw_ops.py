"""TensorFlow's operations that have no public name in 1.13, where `tf.raw_ops` does not exist."""

import tensorflow.compat.v1 as tf

if hasattr(tf, "raw_ops"):
    from tensorflow.compat.v1.raw_ops import (  # noqa: F401
        DestroyTemporaryVariable,
        MergeV2Checkpoints,
        RestoreV2,
        SaveV2,
        StridedSliceAssign,
        TemporaryVariable,
        UpperBound,
        VariableShape,
        VariableV2,
    )
else:
    from tensorflow.python.ops import (
        gen_array_ops,
        gen_io_ops,
        gen_resource_variable_ops,
        gen_state_ops,
    )

    DestroyTemporaryVariable = gen_state_ops.destroy_temporary_variable
    MergeV2Checkpoints = gen_io_ops.merge_v2_checkpoints
    RestoreV2 = gen_io_ops.restore_v2
    SaveV2 = gen_io_ops.save_v2
    StridedSliceAssign = gen_array_ops.strided_slice_assign
    TemporaryVariable = gen_state_ops.temporary_variable
    UpperBound = gen_array_ops.upper_bound
    VariableShape = gen_resource_variable_ops.variable_shape
    VariableV2 = gen_state_ops.variable_v2
