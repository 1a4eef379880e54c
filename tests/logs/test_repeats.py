"""Distinct texts and numbers of a block."""

import hypothesis
import numpy as np
import polars as pl
from hypothesis import strategies as st

from metalog_jax.logs import repeats


@hypothesis.given(
  st.lists(st.one_of(st.integers(0, 50), st.integers(0, 2**62)), max_size=40)
)
def test_numbers_are_those_of_numpy(keys):
  keys = np.array(keys, np.int64)
  for found, right in zip(repeats.numbers(keys), np.unique(keys, return_inverse=True)):
    assert found.tolist() == right.tolist()


def test_texts_in_order_of_appearance():
  texts, codes = repeats.encode(pl.Series(['b', 'a', '', 'b', 'a']))
  assert texts == ['b', 'a', ''] and codes.tolist() == [0, 1, 2, 0, 1]
