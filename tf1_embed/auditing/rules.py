"""Rules that ask each other about the values of a graph, without recursion.

A rule is a generator: it yields the questions that it has, gets their answers, and returns its own.
Graphs are thousands of operations deep, and Python's stack is not.

    def rank_of(self, value):
        ranks = yield [(self.rank_of, each) for each in value.node.inputs]
        return max(ranks)

The answer None means that nothing is known. It is what a question gets that comes back to itself,
in a loop of the graph.
"""

from __future__ import annotations

from typing import Any, Callable, Container, Iterator

from tf1_embed.graph.nodes import Value

# What hands on its first input, each element as it is and where it is.
SAME = frozenset(
    "CheckNumerics DebugGradientIdentity EnsureShape Enter Exit Identity LoopCond NextIteration "
    "PreventGradient RefEnter RefExit RefIdentity RefNextIteration RefSwitch Snapshot StopGradient "
    "Switch".split()
)

# Their first output holds elements of their first input, and no others.
SUBSETS = frozenset(
    "BroadcastTo ExpandDims GatherNd GatherV2 Gather MatrixTranspose RandomShuffle Reshape Reverse "
    "ReverseV2 Roll Slice Squeeze StridedSlice Tile TopK TopKV2 Transpose Unique UniqueV2 "
    "UniqueWithCounts UniqueWithCountsV2".split()
)
# Hold elements of all of some inputs.
UNIONS = {
    "Concat": slice(1, None),
    "ConcatV2": slice(0, -1),
    "Merge": slice(None),
    "RefMerge": slice(None),
    "Pack": slice(None),
    "ParallelConcat": slice(None),
    "Select": slice(1, None),
    "SelectV2": slice(1, None),
}


class Rules:
    """Answers questions, each once."""

    def __init__(self) -> None:
        self._answers: dict[tuple, Any] = {}

    def ask(self, rule: Callable[..., Iterator], *arguments: Any) -> Any:
        """Returns the answer of a rule, a method that is a generator, for its arguments."""
        answers = self._answers
        if (rule, *arguments) in answers:
            return answers[(rule, *arguments)]
        stack = [_Asked((rule, *arguments))]
        while stack:
            asked = stack[-1]
            question = asked.next_question(answers)
            if question is None:
                answers[asked.question] = asked.answer
                stack.pop()
            else:
                answers[question] = None  # for those that come back here
                stack.append(_Asked(question))
        return answers[(rule, *arguments)]


class _Asked:
    """A question whose rule waits for answers to its own questions."""

    def __init__(self, question):
        self.question, self.answer = question, None
        self._generator = question[0](*question[1:])
        self._waits_for, self._is_one = [], False

    def next_question(self, answers):
        """Returns a question that is not answered yet; None if the rule has come to its end."""
        while True:
            for each in self._waits_for:
                if each not in answers:
                    return each
            replies = [answers[each] for each in self._waits_for]
            try:
                # A generator that has not begun takes None.
                started = self._waits_for != [] or self._is_one is None
                reply = (replies[0] if self._is_one else replies) if started else None
                asked = self._generator.send(reply)
            except StopIteration as end:
                self.answer = end.value
                return None
            self._is_one = not isinstance(asked, list)
            self._waits_for = [asked] if self._is_one else asked
            if not self._waits_for:
                self._is_one = None


def chain_of_same(value: Value, also: Container[str] = ()) -> list[Value]:
    """Returns a value and all those that it is handed on from, the nearest first.

    Args:
      value: `Value`.
      also: types of operations that count as handing on their first input.
    """
    chain, seen = [], set()
    while value not in seen:
        seen.add(value)
        chain.append(value)
        node = value.node
        if node.type == "IdentityN":
            value = node.inputs[value.index]
        elif (node.type in SAME or node.type in also) and node.inputs:
            value = node.inputs[0]
        elif node.type == "Merge" and len(node.inputs) == 1 and value.index == 0:
            value = node.inputs[0]
    return chain


def same_as(value: Value, also: Container[str] = ()) -> Value:
    """Returns the value that a value is handed on from, itself if it is from nowhere else."""
    return chain_of_same(value, also)[-1]
