"""The study of second order: pairs, tests, and the page that they go into."""

import numpy as np
import polars as pl
import pytest
from scipy import stats

from experiments.studies import markdown, second_order
from metalog_jax import errors
from metalog_jax.report import canvas


def frame() -> pl.DataFrame:
  """Exact is 2 to 7 points above first order at 0.1; joint training lacks a seed."""
  rows, noise = [], np.random.default_rng(0)
  for cell in ('a', 'b'):
    for seed in range(6):
      base = 50 + 10 * noise.normal()
      at = {'cell': cell, 'seed': seed, 'steps': 9}
      for mode, rate, f1 in (
        ('exact', 0.1, base + 2 + seed),
        ('first', 0.1, base),
        ('exact', 0.01, base + (-1) ** seed),
        ('first', 0.01, base),
        ('joint', 0.0, base),
      ):
        if (mode, seed) != ('joint', 5):
          rows.append(at | {'mode': mode, 'rate': rate, 'f1': f1, 'auprc': f1})
  return pl.DataFrame(rows)


def effect_of(records, **chosen) -> second_order.Effect:
  (record,) = (r for r in records if chosen.items() <= r.items())
  return record['effect']


def test_pairs_are_of_one_seed_and_cell():
  records = second_order.contrasts(frame(), 'f1')
  at = {'first': 'exact', 'second': 'first', 'rate': 0.1}
  whole = effect_of(records, **at, cell=second_order.ALL)
  assert (whole.pairs, whole.better) == (12, 12)
  assert whole.mean == pytest.approx(4.5) and whole.low < 4.5 < whole.high
  assert (whole.ranks, whole.p) == (1.0, pytest.approx(2 / 2**12))
  one = effect_of(records, **at, cell='b')
  assert (one.pairs, one.p) == (6, pytest.approx(2 / 2**6))
  small = effect_of(records, **at | {'rate': 0.01}, cell=second_order.ALL)
  assert small.mean == pytest.approx(0) and small.p > 0.9 and small.ranks == 0
  joint = effect_of(records, **at | {'second': 'joint'}, cell=second_order.ALL)
  assert joint.pairs == 10


def test_p_is_adjusted_over_the_rates_of_a_contrast():
  records = second_order.contrasts(frame(), 'f1')
  family = [r for r in records if 'adjusted' in r and r['second'] == 'first']
  assert [r['rate'] for r in family] == [0.01, 0.1]
  assert family[1]['adjusted'] == pytest.approx(2 * family[1]['effect'].p)


def test_an_effect_is_what_scipy_and_its_definition_say():
  differences = np.random.default_rng(1).normal(0.5, 1, 9)
  one = second_order.effect(differences, 'aaaaaaaaa')
  signs = np.array(np.meshgrid(*[[-1, 1]] * 9)).reshape(9, -1).T
  extreme = np.abs((signs * differences).mean(1)) >= abs(differences.mean()) - 1e-12
  assert one.p == pytest.approx(extreme.mean())
  assert one.wilcoxon == stats.wilcoxon(differences).pvalue
  normal = differences.std(ddof=0) / 3 * 1.96
  assert one.high - one.low == pytest.approx(2 * normal, rel=0.15)
  assert second_order.effect(np.zeros(4), 'aabb')[3:6] == (0.0, 1.0, 1.0)
  turned = second_order.effect(-differences, 'aaaaaaaaa')
  assert one.ranks == -turned.ranks > 0 and one.better + turned.better == 9


def test_tables_go_between_the_marks_of_a_page(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text('above\n{}\nold\n{}\nbelow\n'.format(*markdown.MARKS))
  for text in ('\nfirst\n\n', '\nsecond\n\n'):
    markdown.renew(page, text)
  assert page.read_text() == 'above\n{}\n\nsecond\n\n{}\nbelow\n'.format(
    *markdown.MARKS
  )
  page.write_text('no marks')
  with pytest.raises(errors.UserError, match='--page'):
    markdown.renew(page, '')


def test_the_figure_is_drawn():
  records = second_order.contrasts(frame(), 'f1')
  assert canvas.png(canvas.Figure('x', '', second_order.draw, (records,)))[:4] == (
    b'\x89PNG'
  )
