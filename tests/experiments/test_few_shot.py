"""Every system is left out in turn; what is done is not done again."""

import json

import numpy as np
import pytest

from experiments import few_shot as program
from experiments.studies import few_shot, few_shot_report
from metalog_jax import errors, flags
from metalog_jax.cli import main as programs
from metalog_jax.evaluation import metrics
from metalog_jax.runs import run
from tests.cli import test_adapt
from tests.runs import test_run

fixture_root = test_run.fixture_root


def make_plan(root, **changes) -> few_shot.Plan:
  method = test_adapt.make_job(root, '').method
  more = dict(steps=3, adapt_steps=2, rates='step', confidence=0.5)
  method = flags.replace(method, **more)
  systems = (str(root / 'system_a'), str(root / 'system_b'))
  plan = few_shot.Plan(systems, systems[1:], {}, ('2',), method, 'default', '10', 0, 1)
  return plan._replace(**changes)


@pytest.fixture(name='adapted', scope='module')
def fixture_adapted() -> list[int]:
  """The rounds that each arm was adapted with, once `done` is."""
  return []


@pytest.fixture(name='done', scope='module')
def fixture_done(root, adapted):
  detectors = few_shot._detectors

  def spied(method):
    return {key: scored._replace(detector=spy(scored.detector))
            for key, scored in detectors(method).items()}  # fmt: skip

  def spy(detector):
    def adapt(state, transfer, seed, rounds=None):
      adapted.append(rounds)
      return detector.adapt(state, transfer, seed, rounds=rounds)

    return detector._replace(adapt=adapt)

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(few_shot, '_detectors', spied)
    out = root / 'few_shot'
    return out, few_shot.run(make_plan(root), out, say=lambda _: None)


@pytest.mark.slow
def test_every_arm_and_the_floors_are_judged_on_every_kind(done):
  _, records = done
  methods = [r['method'] for r in records if r['kind'] == 'all']
  assert set(methods) == set(few_shot.METHODS) and len(methods) == len(set(methods))
  for method in methods:
    kinds = [r['kind'] for r in records if r['method'] == method]
    assert kinds == list(metrics.KINDS)
  assert {(r['target'], r['labels'], r['seed']) for r in records} == {
    ('system_b', '2', 0)
  }


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
def test_the_report_has_every_method(done):
  out, records = done
  text = few_shot_report.write(records, out)
  assert all(method in text for method in few_shot.METHODS)
  assert json.loads((out / 'few_shot.json').read_text()) == records
  assert (out / 'few_shot.md').read_text() == text


def record(seed, method, f1):
  place = {'target': 'a', 'labels': '5', 'kind': 'all', 'auprc': f1}
  return place | {'seed': seed, 'method': method, 'f1': f1}


def test_gains_are_paired():
  first, other = 'meta-learned, adapted', 'from scratch'
  records = [record(seed, first, f1) for seed, f1 in enumerate((0.9, None, 0.6))]
  records += [record(seed, other, f1) for seed, f1 in enumerate((0.5, 0.2, 0.7))]
  rows = {(r['arm'], r['above']): r['5'] for r in few_shot_report.gains(records).rows(
    named=True)}  # fmt: skip
  spread = np.std([40, -20, -10], ddof=1)  # an F1 that is undefined counts as 0
  assert rows[first, other] == f'3.3 ± {spread:.1f} (1 of 3)'
  assert rows[first, 'pooled, same steps'] == '–'


def test_a_table_has_means_by_target_and_labels():
  records = [record(seed, 'from scratch', f1) for seed, f1 in enumerate((0.5, 0.7))]
  records += [record(0, 'best floor', 0.9), record(1, 'best floor', None)]
  table = few_shot_report.by_labels(records, 'all')
  rows = dict(table.select('labels a class', 'a, 5').rows())
  assert list(rows) == list(few_shot.METHODS)
  assert (rows['from scratch'], rows['best floor']) == ('60.0 ± 14.1', '90.0')
  records[0]['pseudo'] = [{'given': 0, 'right': 0}, {'given': 4, 'right': 3}]
  assert few_shot_report.pseudo_labels(records).row(0) == ('a', '5', '4.0', '75.0')


@pytest.mark.parametrize('other, says', [
  ('system_b/../system_a', 'more than one is '),
  ('copy/system_a', 'more than one is named system_a'),
])  # fmt: skip
def test_a_system_is_not_left_out_under_another_name(root, tmp_path, other, says):
  systems = (str(root / 'system_a'), str(root / other))
  with pytest.raises(errors.UserError, match=says):
    few_shot.run(make_plan(root, systems=systems), tmp_path, say=lambda _: None)


@pytest.mark.parametrize('flag, says', [
  ('--targets=systems/hdf', "did you mean 'systems/hdfs'?"),
  ('--twins=hdf=systems/bgl', "did you mean 'hdfs'?"),
  ('--twins=hdfs=systems/bg', "did you mean 'systems/bgl'?"),
])  # fmt: skip
def test_wrong_choices_are_told(flag, says, tmp_path, capsys):
  arguments = [f'--out={tmp_path}', flag, '--systems=systems/hdfs,systems/bgl']
  assert programs.run(program, 'few_shot', arguments) == 2
  assert says in capsys.readouterr().err
