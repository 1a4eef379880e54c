"""Every system is left out in turn; what is done is not done again."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.studies import few_shot, few_shot_report
from metalog_jax.runs import run
from tests.cli import test_adapt
from tests.runs import test_run

fixture_root = test_run.fixture_root


def make_plan(root, **changes) -> few_shot.Plan:
  method = test_adapt.make_job(root, '').method
  more = dict(steps=3, adapt_steps=2, rates='step', confidence=0.5)
  method = dataclasses.replace(method, **more)
  systems = (str(root / 'system_a'), str(root / 'system_b'))
  plan = few_shot.Plan(
    systems, systems[1:], {}, ('2',), method, 'default', '10', 0, 1, True
  )
  return plan._replace(**changes)


@pytest.fixture(name='adapted', scope='module')
def fixture_adapted() -> list[int]:
  """The rounds that each arm was adapted with, once `done` is."""
  return []


@pytest.fixture(name='done', scope='module')
def fixture_done(root, adapted):
  ways = few_shot._ways

  def spied(method):
    return {key: way._replace(detector=spy(way.detector))
            for key, way in ways(method).items()}  # fmt: skip

  def spy(detector):
    def adapt(state, transfer, seed, steps=None, rounds=None):
      if steps is None:  # else of a curve
        adapted.append(rounds)
      return detector.adapt(state, transfer, seed, steps=steps, rounds=rounds)

    return detector._replace(adapt=adapt)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(few_shot, '_ways', spied)
    out = root / 'few_shot'
    return out, few_shot.run(make_plan(root), out, say=lambda _: None)


@pytest.mark.slow
def test_every_arm_and_the_floors_are_judged_on_every_kind(done):
  _, records = done
  methods = [r['method'] for r in records if r['kind'] == 'all']
  assert set(methods) == set(few_shot.METHODS) and len(methods) == len(set(methods))
  for method in methods:
    kinds = [r['kind'] for r in records if r['method'] == method]
    assert kinds == list(few_shot.KINDS)
  assert {(r['target'], r['labels'], r['seed']) for r in records} == {
    ('system_b', '2', 0)
  }


@pytest.mark.slow
def test_a_curve_starts_unadapted_and_ends_adapted(done):
  _, records = done
  by = {r['method']: r for r in records if r['kind'] == 'all'}
  curve = next(r['curve'] for r in records if 'curve' in r)
  assert len(curve) == 3
  assert curve[0] == pytest.approx(by['meta-learned, not adapted']['f1'])
  assert curve[-1] == pytest.approx(by['meta-learned, adapted']['f1'])


@pytest.mark.slow
def test_pseudo_labels_are_of_their_arm_alone(done, adapted):
  _, records = done
  [rounds] = [r['pseudo'] for r in records if 'pseudo' in r]
  assert rounds and 0 < rounds[0]['right'] <= rounds[0]['given']
  hows = [how for _, how in few_shot.ARMS.values() if how != few_shot.NONE]
  assert adapted == [5 if how == few_shot.PSEUDO else 0 for how in hows]


@pytest.mark.slow
def test_what_is_done_is_taken_up(done, root, monkeypatch):
  out, records = done
  monkeypatch.setattr(few_shot, '_cell', None)
  monkeypatch.setattr(run, '_prepare', None)
  assert few_shot.run(make_plan(root), out, say=lambda _: None) == records


def test_cells_of_other_settings_are_left_alone(done, root):
  out, _ = done
  with pytest.raises(ValueError, match="has cells of {'unlabelled': '10'}"):
    few_shot.run(make_plan(root, unlabelled='20'), out, say=lambda _: None)


def test_a_twin_is_not_learned_from(root, tmp_path):
  twins = {'system_b': str(root / 'system_a')}
  with pytest.raises(ValueError, match='none to learn from but system_b'):
    few_shot.run(make_plan(root, twins=twins), tmp_path, say=lambda _: None)


@pytest.mark.slow
def test_the_report_has_tables_and_figures(done):
  out, records = done
  text = few_shot_report.write(records, out).read_text()
  assert all(method in text for method in few_shot.METHODS)
  assert json.loads((out / 'few_shot.json').read_text()) == records
  assert (out / 'figures' / 'steps.png').exists()


def test_gains_are_paired():
  def record(seed, method, f1):
    about = {'target': 'a', 'labels': '5', 'kind': 'all'}
    return about | {'seed': seed, 'method': method, 'f1': f1}

  first, other = 'meta-learned, adapted', 'from scratch'
  records = [record(seed, first, f1) for seed, f1 in enumerate((0.9, 0.6))]
  records += [record(seed, other, f1) for seed, f1 in enumerate((0.5, 0.7))]
  rows = {tuple(r[:2]): r[2] for r in few_shot_report.gains(records).rows}
  spread = np.std([40, -10], ddof=1)
  assert rows[first, other] == f'15.0 ± {spread:.1f} (1 of 2)'
  assert rows[first, 'pooled, same steps'] == '–'
