"""What each kind of operation does to a variable that it is given by reference or by handle.

One table, to which a maintainer adds a line. An operation that is in none of its parts, and is
given a variable, is not understood; nothing takes it for harmless.
"""

from __future__ import annotations

import collections

# Reads, and no more. Whatever takes the value of a ref variable, not the reference, does so too.
READS = frozenset(
    "DisableCopyOnRead IsVariableInitialized ReadVariableOp ReadVariableXlaSplitND ResourceGather "
    "ResourceGatherNd VarIsInitializedOp VariableShape _ReadVariablesOp".split()
)

# Hand on what they are given. "Merge" is also what stands for arguments and results of bodies.
HANDS_ON = frozenset(
    "DebugGradientRefIdentity Enter Exit Identity IdentityN LoopCond Merge NextIteration "
    "PlaceholderWithDefault PreventGradient RefEnter RefExit RefIdentity RefMerge RefNextIteration "
    "RefSelect RefSwitch Snapshot StopGradient Switch _SwitchN".split()
)

# Make a variable.
VARIABLES = frozenset(
    "VarHandleOp Variable VariableV2 _VarHandlesOp _XlaAotOnlyVarHandleOp".split()
)

# Make another resource out of what they are given. Those that are given nothing need no line.
MAKES_OTHERS = frozenset(
    "IteratorFromStringHandle IteratorFromStringHandleV2 MutableDenseHashTable "
    "MutableDenseHashTableV2 Stack StackV2 TensorArray TensorArrayGrad TensorArrayGradV2 "
    "TensorArrayGradV3 TensorArrayGradWithShape TensorArrayV2 TensorArrayV3".split()
)

# Beginnings of the types of operations that fail if they are given a variable: they take handles
# of queues, hash tables and their kin.
_OF_OTHERS = (
    "Accumulator Barrier BoostedTrees CacheDataset CloseSummaryWriter Collective CreateSummary "
    "DataService DeleteIterator DeleteMemoryCache DeleteMultiDevice DeleteRandomSeed DeleteRpc "
    "DeleteSeed DestroyTemporary DeserializeIterator ExperimentalIterator ExperimentalSetStats "
    "ExperimentalStats ExperimentalThreadPool FakeQueue FlushSummary GlobalShuffle ImportEvent "
    "InitializeTable IsBoostedTrees Iterator LookupTable MakeIterator MultiDevice MutexLock "
    "Queue RandomDataset Reader ResourceAccumulator Rpc SdcaShrinkL1 SerializeIterator SetStats "
    "Shuffle SparseAccumulator Stack StatsAggregator TensorArray ThreadPool Write"
).split()
# Another kind, though their names begin so.
_NOT_OF_OTHERS = ("StackedBidirectional",)

# What an optimizer does to rows whose gradient is there, and zero, with warm slots. `moves` is
# None (they stay), "warm" (by what slots hold) or "always"; they stay too if the arguments named in
# `unless_zero` are all zero. `divides`: a slot of zero makes them NaN.
ZeroGradient = collections.namedtuple("ZeroGradient", "moves unless_zero divides")

_STAYS = ZeroGradient(None, (), True)
_WARM = ZeroGradient("warm", (), True)

OPTIMIZERS = {
    "AdaMax": _WARM,
    "Adadelta": _STAYS,
    "Adagrad": _STAYS,
    "AdagradDA": ZeroGradient("always", (), True),
    "AdagradV2": _STAYS,
    "Adam": _WARM,
    "AdamWithAmsgrad": _WARM,
    "AddSign": _STAYS,
    "CenteredRMSProp": ZeroGradient("warm", ("momentum",), True),
    "Ftrl": ZeroGradient("always", (), True),
    "FtrlV2": ZeroGradient("always", (), True),
    "GradientDescent": ZeroGradient(None, (), False),
    "KerasMomentum": _WARM,
    "Momentum": _WARM,
    "PowerSign": _STAYS,
    "ProximalAdagrad": ZeroGradient("always", ("l1", "l2"), True),
    "ProximalGradientDescent": ZeroGradient("always", ("l1", "l2"), False),
    "RMSProp": ZeroGradient("warm", ("momentum",), True),
}

# From the type of an operation that writes to the way in which it does.
WRITES = {
    "Assign": "assign",
    "AssignAdd": "add",
    "AssignAddVariableOp": "add",
    "AssignSub": "add",
    "AssignSubVariableOp": "add",
    "AssignVariableOp": "assign",
    "AssignVariableXlaConcatND": "replace",
    "CountUpTo": "replace",
    "DestroyResourceOp": "destroy",
    "NonDeterministicInts": "replace",
    "ResourceCountUpTo": "replace",
    "ResourceStridedSliceAssign": "slice",
    "RngReadAndSkip": "replace",
    "RngSkip": "replace",
    "ScatterAddNdim": "replace",
    "StridedSliceAssign": "slice",
    "TPUReshardVariables": "replace",
}
for _verb in "Random Standard Truncated Uniform UniformFullInt UniformInt".split():
    for _type in (f"Stateful{_verb}{_rest}" for _rest in ("", "Binomial", "Normal", "NormalV2")):
        WRITES[_type] = "replace"  # the state of a generator
for _verb in "Add Div Max Min Mul Sub Update".split():
    for _kind in ("Scatter", "ResourceScatter"):
        WRITES[_kind + _verb] = "scatter add" if _verb in ("Add", "Sub") else "scatter"
        WRITES[f"{_kind}Nd{_verb}"] = "scatter places"
for _name in OPTIMIZERS:
    for _kind in ("Apply", "ResourceApply"):
        WRITES[_kind + _name] = "optimizer"
    for _kind in ("SparseApply", "ResourceSparseApply"):
        WRITES[_kind + _name] = "sparse optimizer"

# Change, in place, the memory of a tensor, which may be a variable's own: they copy nothing.
IN_PLACE = frozenset("InplaceAdd InplaceSub InplaceUpdate".split())

# Have no handle: operations of one shared name act on one staging area.
STAGES = frozenset(
    "MapClear MapIncompleteSize MapPeek MapSize MapStage MapUnstage MapUnstageNoKey "
    "OrderedMapClear OrderedMapIncompleteSize OrderedMapPeek OrderedMapSize OrderedMapStage "
    "OrderedMapUnstage OrderedMapUnstageNoKey Stage StageClear StagePeek StageSize Unstage".split()
)


def is_known(op_type: str) -> bool:
    """Tells whether it is known what an operation does to a variable that it is given."""
    return op_type in READS or op_type in HANDS_ON or op_type in WRITES or takes_others(op_type)


def takes_others(op_type: str) -> bool:
    """Tells whether an operation takes handles of queues, hash tables and such, no variable."""
    return op_type.startswith(tuple(_OF_OTHERS)) and not op_type.startswith(_NOT_OF_OTHERS)


def optimizer_of(op_type: str) -> str:
    """Returns the key in `OPTIMIZERS` of an operation that applies a gradient."""
    return op_type.split("Apply")[-1]
