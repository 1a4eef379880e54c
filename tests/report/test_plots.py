import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import figure

from metalog_jax.evaluation import metrics
from metalog_jax.report import canvas, plots
from metalog_jax.runs import record


def new_axes():
  return figure.Figure().add_subplot()


def judged(labels, scores, threshold=0.5, floors=None):
  """A run with these scores of its test set 'rest', and what it measured."""
  labels, scores = np.asarray(labels), np.asarray(scores, float)
  measures = metrics.measure(labels, scores, threshold)
  floors = {name: {'all': of} for name, of in (floors or {}).items()}
  result = {
    'detector': 'metalog',
    'test': {'rest': {'all': measures, 'floors': floors}},
  }
  scored = record.Scores(np.arange(len(labels)).astype(str), labels, scores, 0)
  return record.Run(None, result, {}, {}, {}, {'rest': scored}, {})


def measured(run):
  return run.result['test']['rest']['all']


def random_judged(seed=0, num=400):
  rng = np.random.default_rng(seed)
  labels = rng.random(num) < 0.2
  scores = np.round(np.clip(rng.normal(0.3 + 0.4 * labels, 0.2), 0, 1), 2)
  return judged(labels.astype(int), scores)


def line(ax, label):
  """x and y of the line whose legend begins with `label`."""
  (found,) = [of for of in ax.lines if of.get_label().startswith(label)]
  return found.get_xdata(), found.get_ydata()


scored = st.lists(
  st.tuples(st.integers(0, 1), st.integers(0, 5)), min_size=2, max_size=30
).filter(lambda pairs: len({label for label, _ in pairs}) == 2)


@given(scored)
@settings(max_examples=20, deadline=None)
def test_areas_under_the_drawn_curves_are_the_measures(pairs):
  labels, scores = np.array(pairs).T
  of = judged(labels, scores / 5)
  roc, pr = new_axes(), new_axes()
  plots.roc(roc, of, 'rest')
  plots.precision_recall(pr, of, 'rest')
  alarms, recall = line(roc, 'metalog')
  np.testing.assert_allclose(np.trapezoid(recall, alarms), measured(of)['auroc'])
  recall, precision = line(pr, 'metalog')
  area = np.diff(recall) @ precision[1:]
  np.testing.assert_allclose(area, measured(of)['auprc'])


def test_the_threshold_lies_on_both_curves():
  of = random_judged()
  for draw in (plots.roc, plots.precision_recall):
    ax = new_axes()
    draw(ax, of, 'rest')
    x, y = line(ax, 'metalog')
    (px,), (py,) = line(ax, 'at its threshold')
    assert np.hypot(x - px, y - py).min() < 1e-9


def test_the_best_floor_is_named_and_floors_without_figures_are_left_out():
  of = random_judged()
  measures = measured(of)
  floors = {
    'poor': {**measures, 'f1': 0.1},
    'good': {**measures, 'f1': 0.9},
    'undefined': {**measures, 'f1': None, 'precision': None},
  }
  ax = new_axes()
  scores = of.scores['rest']
  of = judged(scores.labels, scores.scores, floors=floors)
  plots.precision_recall(ax, of, 'rest')
  labels = [of.get_label() for of in ax.lines]
  assert 'best floor: good' in labels
  assert len(line(ax, 'other floors')[0]) == 1


def test_long_curves_are_thinned_to_both_ends():
  rng = np.random.default_rng(0)
  ax = new_axes()
  plots.roc(ax, judged(rng.integers(0, 2, 50_000), rng.random(50_000)), 'rest')
  x, y = line(ax, 'metalog')
  assert len(x) <= 2000
  assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)


@pytest.mark.parametrize('scores', [[0.3] * 6, [0, 0.1, 0.2, 0.8, 0.9, 1]])
def test_the_histogram_counts_every_session(scores):
  ax = new_axes()
  plots.histogram(ax, judged([0, 0, 0, 1, 1, 1], scores), 'rest')
  assert [text.get_text() for text in ax.get_legend().get_texts()] == [
    'normal (3)',
    'anomalous (3)',
    'threshold 0.5',
  ]
  tops = [patch.get_xy()[:, 1].max() for patch in ax.patches]
  assert max(tops) == (3 if len(set(scores)) == 1 else 1)


def test_curves_are_logarithmic_only_where_values_span_far():
  steps = np.arange(1.0, 50)
  near, far, negative = new_axes(), new_axes(), new_axes()
  plots.curves(near, {'loss': (steps, 1 + steps / 100)}, 'loss')
  plots.curves(far, {'loss': (steps, np.exp(-steps))}, 'loss', used=7)
  plots.curves(negative, {'value': (steps, -np.exp(-steps))}, 'value')
  assert [ax.get_yscale() for ax in (near, far, negative)] == [
    'linear',
    'log',
    'linear',
  ]
  assert far.lines[-1].get_label() == 'kept: step 7'


def test_a_long_noisy_curve_gets_a_running_mean():
  steps = np.arange(1.0, 1001)
  values = 5 + np.random.default_rng(0).normal(size=1000)
  ax = new_axes()
  plots.curves(ax, {'loss': (steps, values)}, 'loss')
  raw, mean = ax.lines
  assert np.std(mean.get_ydata()) < np.std(raw.get_ydata()) / 3
  assert abs(np.mean(mean.get_ydata()) - 5) < 0.2


def test_comparison_shows_seeds_mean_and_floor():
  ax = new_axes()
  nan = float('nan')
  rows = [plots.Row('a $x', [0.5, 0.7], 0.9), plots.Row('b\x1b', [0.8], nan)]
  plots.comparison(ax, rows)
  np.testing.assert_allclose(line(ax, 'one seed')[0], [50, 70])
  np.testing.assert_allclose(line(ax, 'mean')[0], [60])
  np.testing.assert_allclose(line(ax, 'best floor')[0], [90])
  assert [text.get_text() for text in ax.texts] == ['a \\$x', 'b\\x1b']


def test_png_has_the_size_and_equal_drawings_are_equal_bytes():
  drawn = (random_judged(), 'rest')
  figure = canvas.Figure('x', 'an x', plots.histogram, drawn, (3, 2))
  light = canvas.png(figure, dpi=100)
  assert light == canvas.png(figure, dpi=100)
  assert light != canvas.png(figure, dpi=100, dark=True)
  assert light[:8] == b'\x89PNG\r\n\x1a\n'
  assert struct.unpack('>II', light[16:24]) == (300, 200)
