"""How likely each thing is one of a rare kind, whose likes can be made but not picked out.

What is at hand are things as they are, of which an unknown share is of each kind, and made examples
of each kind. Logistic regression tells one from the other, and its odds are the ratio of their
densities. The share of a kind is the largest that the things as they are leave room for: where made
examples are most, so many things must be there (mixture proportion estimation: Blanchard, Lee and
Scott, JMLR 11, 2010). With the shares Bayes' rule gives the probabilities. The things as they are
then count as examples of what is in order by the probability that they are that, so that mistakes
among them spoil little (Elkan and Noto, KDD 2008), and the regression is done again.
"""

from collections.abc import Sequence

import numpy as np

from mindssd.types import Array

ROUNDS = 10

LARGEST_SHARE = 0.1
"""Of a kind: who labels worse than this, cannot be told by what the labels taught."""

ENOUGH = 0.2
"""A share is told from where at least so much of the made examples lies."""

RIDGE = 1.0
"""The squared weights of standardised features count by so much."""


def kind_probabilities(as_they_are: Array, made: Sequence[Array]) -> Array:
    """How likely each of n things is of each of K kinds, (n, K).

    `as_they_are` (n, F) are their features, `made` K arrays (m_k, F) those of made examples.
    Without things the answer is empty; a kind without examples has probability 0.
    """
    result = np.zeros((len(as_they_are), len(made)))
    kinds = [kind for kind, examples in enumerate(made) if len(examples)]
    if not len(as_they_are) or not kinds:
        return result
    # Those that are not in order are among the things as they are: a share of them, at first.
    odds = [_log_odds(as_they_are, np.ones(len(as_they_are)), made[kind]) for kind in kinds]
    shares = np.array([_largest_share(things, examples) for things, examples in odds])
    found = shares * np.exp(np.stack([things for things, _ in odds], axis=1))
    found /= np.maximum(1.0, found.sum(axis=1, keepdims=True))
    for _ in range(ROUNDS):
        in_order = 1 - found.sum(axis=1)
        odds = [_log_odds(as_they_are, in_order, made[kind]) for kind in kinds]
        weighed = shares * np.exp(np.stack([things for things, _ in odds], axis=1))
        found = weighed / (1 - shares.sum() + weighed.sum(axis=1, keepdims=True))
    result[:, kinds] = found
    return result


def _largest_share(things: Array, examples: Array) -> float:
    """How large a share of `things` can be like `examples`, by their log odds (n,) and (m,)."""
    levels = np.quantile(examples, np.linspace(0, 1 - ENOUGH, 40))
    above = (things[None] >= levels[:, None]).sum(axis=1)
    of_examples = (examples[None] >= levels[:, None]).mean(axis=1)
    # So many by chance that one deviation more is as likely as not the least of all levels.
    most = (above + np.sqrt(above + 1) + 1) / len(things) / of_examples
    return float(min(LARGEST_SHARE, most.min()))


def _log_odds(others: Array, weights: Array, examples: Array) -> tuple[Array, Array]:
    """How much more often features are those of `examples` than of weighted `others`.

    The logarithm of the ratio, at the others (n,) and at the examples (m,).
    """
    together = np.concatenate([others, examples])
    spread = np.maximum(together.std(axis=0), 1e-6)
    features = (together - together.mean(axis=0)) / spread
    # Both count the same in all, as if half of the things were examples.
    of_others = weights / max(float(weights.sum()), 1e-12)
    of_examples = np.full(len(examples), 1 / len(examples))
    count = min(float(weights.sum()), float(len(examples)))
    importance = np.concatenate([of_others, of_examples]) * count
    wanted = np.concatenate([np.zeros(len(others)), np.ones(len(examples))])
    log_odds = np.clip(_logistic(features, wanted, importance), -20, 20)
    return log_odds[: len(others)], log_odds[len(others) :]


def _logistic(features: Array, wanted: Array, importance: Array) -> Array:
    """The log odds of logistic regression with a ridge, by Newton's method: (n,)."""
    columns = np.concatenate([features, np.ones((len(features), 1))], axis=1)
    penalty = np.full(columns.shape[1], RIDGE)
    penalty[-1] = 1e-6
    weights = np.zeros(columns.shape[1])
    for _ in range(25):
        log_odds = np.clip(columns @ weights, -20, 20)
        chance = 1 / (1 + np.exp(-log_odds))
        gradient = columns.T @ (importance * (chance - wanted)) + penalty * weights
        curvature = (columns * (importance * chance * (1 - chance))[:, None]).T @ columns
        step = np.linalg.solve(curvature + np.diag(penalty), gradient)
        weights -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    return np.asarray(columns @ weights)
