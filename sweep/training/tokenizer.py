"""Texts to tokens: words and punctuation, the most frequent of the training texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Self

import torch

from sweep.training.models.text_encoder import PADDING

UNKNOWN = 1
"""The token of every word that isn't in the vocabulary, and of an empty text."""
_RESERVED = 2
_WORD = re.compile(r"\w+|[^\w\s]")


class Tokenizer:
    """A vocabulary, and how texts are cut into it; lower case.

    Args:
        words: those with a token of their own, the first being token 2.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._tokens = {word: index for index, word in enumerate(self.words, start=_RESERVED)}

    @classmethod
    def learn(cls, texts: Iterable[str], size: int) -> Self:
        """The vocabulary of the most frequent words of texts, with `size` tokens at most; at equal counts by alphabet.

        A word that occurs once has no token: nothing could be learned about it.
        """
        counts = Counter(word for text in texts for word in _words(text))
        ranked = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
        return cls(ranked[: size - _RESERVED])

    def __len__(self) -> int:
        """Number of tokens, padding and the unknown included."""
        return len(self.words) + _RESERVED

    def __call__(self, texts: Sequence[str], length: int) -> torch.Tensor:
        """Tokens (N, T) int64 of texts, T the longest's, at most `length`; shorter ones end in padding."""
        found = [[self._tokens.get(word, UNKNOWN) for word in _words(text)[:length]] or [UNKNOWN] for text in texts]
        tokens = torch.full((len(texts), max(map(len, found), default=1)), PADDING)
        for row, each in zip(tokens, found, strict=True):
            row[: len(each)] = torch.tensor(each)
        return tokens


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
