"""The study of the combiner: what is compared, and that all modes see the same."""

import numpy as np
import polars as pl

from experiments import evidence_combiner


def test_differences_are_those_of_seeds_not_of_episodes():
  modes = [evidence_combiner.RULES, *evidence_combiner.MODES]
  rows = [
    {'family': 'x', 'seed': seed, 'anomalies': 5 * (number % 2)}
    | {mode: 90.0 - place + seed for place, mode in enumerate(modes)}
    for seed in range(4)
    for number in range(6)
  ]
  levels, differences = evidence_combiner.tables(pl.DataFrame(rows))
  assert '| rules          |       91.5 |       91.5 | 91.5 |' in levels
  assert '0 labelled | 5 labelled' in levels
  line = next(x for x in differences.splitlines() if 'rules - second order' in x)
  assert '+1.00 [+1.00, +1.00]' in line and '4 of 4 seeds' in line
  assert '0.1250' in line  # of exchanged signs of four seeds


def test_the_context_says_how_many_are_labelled():
  none, few, more = (evidence_combiner.context((100, k)) for k in (0, 3, 10))
  assert [np.flatnonzero(x)[0] for x in (none, few, more)] == [0, 1, 2]
