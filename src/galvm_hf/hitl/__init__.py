"""The human in the loop: find any kind of galaxy among many, from a few examples and rounds of ten questions.

The paper's section 2.4, as a library: a `Collection` of features to search in, a `Session` that asks and learns, and
what they are made of. It has no user interface.
"""

from .acquisition import AlphaRule, Diverse, Random, Strategy, Uncertainty, read_strategy
from .build import build_collection
from .collection import Collection
from .learner import Learner, train_learner
from .leases import LeasedError
from .oracle import Oracle
from .outliers import rank_outliers
from .search import search_similar
from .session import Session
from .state import Answer, Round

__all__ = [
    "AlphaRule",
    "Answer",
    "Collection",
    "Diverse",
    "Learner",
    "LeasedError",
    "Oracle",
    "Random",
    "Round",
    "Session",
    "Strategy",
    "Uncertainty",
    "build_collection",
    "rank_outliers",
    "read_strategy",
    "search_similar",
    "train_learner",
]
