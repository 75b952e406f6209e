"""Filtered ranking: where the true head and the true tail stand among all candidates."""

from collections import namedtuple

import numpy as np

from examples.knowledge_graph.progress import progress

Quality = namedtuple("Quality", "mrr hits_at_1 hits_at_3 hits_at_10")


def filtered_ranks(scores, answers, known):
    """Ranks each answer among the candidates that are not answers too.

    An answer that scores the same as k others stands in the middle of them: the mean of the best
    and of the worst rank it could claim. A model that gives everything one score gains nothing.

        scores   .9  .7  .7  .1      answer: the third; the first is known to be true too,
        known     x   -   x   -      so it is left out; tied with the second: rank 1.5

    Args:
      scores: float `[queries, candidates]`.
      answers: int `[queries]`, the candidates whose ranks are sought.
      known: bool `[queries, candidates]`, the candidates that are true answers.

    Returns:
      float64 `[queries]`, 1 the best.
    """
    answer_scores = scores[np.arange(len(answers)), answers][:, np.newaxis]
    # The answer itself is known, so that it is never its own rival.
    rivals = ~known
    better = ((scores > answer_scores) & rivals).sum(axis=1)
    tied = ((scores == answer_scores) & rivals).sum(axis=1)
    return 1 + better + tied / 2


def evaluate(session, model, triples, known, num_candidates=None, description=None, batch_size=256):
    """Measures how well a model finds the tail and the head of each triple; returns a `Quality`.

    The arguments are those of `rank_answers`.
    """
    return quality_of(
        rank_answers(session, model, triples, known, num_candidates, description, batch_size)
    )


def quality_of(ranks):
    """Returns the `Quality` of ranks: their mean reciprocal, and the shares of at most 1, 3, 10."""
    return Quality(float(np.mean(1 / ranks)), *(float(np.mean(ranks <= k)) for k in (1, 3, 10)))


def rank_answers(
    session, model, triples, known, num_candidates=None, description=None, batch_size=256
):
    """Ranks the tail and the head of each triple among all candidates.

    Args:
      triples: int `[triples, 3]`.
      known: bool `[heads, relations, tails]`, every triple that is true (`KnowledgeGraph.known`).
      num_candidates: only entities with smaller ids are candidates; all of the model's, if not
        given.
      description: what the progress bar says; no progress is shown if not given.

    Returns:
      float64 `[2 * triples]`, 1 the best: for each batch the tails, then the heads.
    """
    batches = [triples[start : start + batch_size] for start in range(0, len(triples), batch_size)]
    ranks = []
    for batch in progress(batches, description, unit="batch") if description else batches:
        head, relation, tail = batch.T
        tail_scores, head_scores = session.run(
            [model.tail_scores, model.head_scores],
            {model.heads: head, model.relations: relation, model.tails: tail},
        )
        candidates = slice(num_candidates or tail_scores.shape[1])
        ranks.append(
            filtered_ranks(tail_scores[:, candidates], tail, known[head, relation][:, candidates])
        )
        ranks.append(
            filtered_ranks(
                head_scores[:, candidates], head, known[:, relation, tail].T[:, candidates]
            )
        )
    return np.concatenate(ranks)
