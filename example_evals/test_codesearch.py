"""Code search: find the functions of Python's own standard library by what their docstrings say.

The query is a docstring's first sentence, the documents are the functions' sources without docstrings,
and the score is the mean reciprocal rank within the first ten hits (MRR@10).
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from codesearch_corpus import Corpus, load_corpus, words
from evals_common import minibatches, seed_everything
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from pytest_gpupool import Gpu, RecordMetric

EPOCHS = 6
BATCH_SIZE = 64
TEMPERATURE = 0.05


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    """Return the running Python's documented functions, with a fifth of the queries held out."""
    return load_corpus(max_functions=1200)


@pytest.mark.parametrize("sublinear", [False, True], ids=["raw-counts", "log-counts"])
def test_tfidf_search(sublinear: bool, corpus: Corpus, gpu: Gpu, record_metric: RecordMetric) -> None:
    """TF-IDF vectors put the right function among the first hits for many queries."""
    seed_everything(0)
    queries, documents = tfidf_vectors(corpus, sublinear, gpu.device)

    mrr = mean_reciprocal_rank(queries @ documents.T, corpus.held_out)

    record_metric("mrr_at_10", mrr, kind="mean", higher_is_better=True, n=len(corpus.held_out))
    assert mrr > 0.2


@pytest.mark.parametrize("dimension", [64, 128], ids="dimension{}".format)
def test_embedding_search(dimension: int, corpus: Corpus, gpu: Gpu, record_metric: RecordMetric) -> None:
    """A trained embedding beats the untrained one on queries that it was not trained on."""
    generator = seed_everything(0)
    queries, documents = tfidf_vectors(corpus, sublinear=True, device=gpu.device)
    model = nn.Linear(documents.shape[1], dimension, bias=False).to(gpu.device)

    untrained_mrr = evaluate(model, queries, documents, corpus.held_out)
    train(model, queries, documents, corpus.training, generator)
    mrr = evaluate(model, queries, documents, corpus.held_out)

    record_metric("mrr_at_10", mrr, kind="mean", higher_is_better=True, n=len(corpus.held_out))
    assert mrr > 0.2
    assert mrr > 1.1 * untrained_mrr


def tfidf_vectors(corpus: Corpus, sublinear: bool, device: str) -> tuple[Tensor, Tensor]:
    """Return unit vectors of the queries and of the sources, one row each."""
    vectorizer = TfidfVectorizer(analyzer=words, sublinear_tf=sublinear)
    documents = vectorizer.fit_transform(corpus.sources)
    queries = vectorizer.transform(corpus.queries)
    return dense(queries, device), dense(documents, device)


def dense(matrix: Any, device: str) -> Tensor:
    """Return a scipy sparse matrix as a tensor on `device`."""
    return torch.from_numpy(matrix.toarray()).float().to(device)


def similarities(model: nn.Module, queries: Tensor, documents: Tensor) -> Tensor:
    """Return the cosine of the angle between each query's and each document's embedding."""
    return normalize(model(queries)) @ normalize(model(documents)).T


def train(
    model: nn.Module,
    queries: Tensor,
    documents: Tensor,
    training: Tensor,
    generator: torch.Generator,
) -> None:
    """Teach the model to tell each query's own document from the others in its mini-batch (InfoNCE)."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _ in range(EPOCHS):
        for positions in minibatches(len(training), BATCH_SIZE, generator):
            batch = training[positions]
            scores = similarities(model, queries[batch], documents[batch]) / TEMPERATURE
            optimizer.zero_grad()
            cross_entropy(scores, torch.arange(len(batch), device=scores.device)).backward()
            optimizer.step()


@torch.no_grad()
def evaluate(model: nn.Module, queries: Tensor, documents: Tensor, held_out: Tensor) -> float:
    """Return MRR@10 of the held-out queries under the model's similarities."""
    return mean_reciprocal_rank(similarities(model, queries, documents), held_out)


def mean_reciprocal_rank(scores: Tensor, held_out: Tensor, cutoff: int = 10) -> float:
    """Return MRR@cutoff of the held-out queries, where `scores[i, i]` is the right document's score.

    A wrong document with the right one's score counts as ranked before it, so ties earn nothing.
    """
    rows = scores.cpu()[held_out]
    ranks = (rows >= rows.gather(1, held_out.unsqueeze(1))).sum(dim=1)
    return float(torch.where(ranks <= cutoff, 1 / ranks, 0).mean())
