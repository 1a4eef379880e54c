"""Who sees which session: nothing of the test, nothing beyond the budget."""

import numpy as np
import pytest

from metalog_jax import errors, types
from metalog_jax.embeddings import gcse
from metalog_jax.logs import store
from metalog_jax.runs import problem as problems
from metalog_jax.training import base
from tests import builders

NEEDS = frozenset({base.SOURCE_LABELS, base.TARGET_NORMALS, base.TARGET_ANOMALIES})


@pytest.fixture(name='folders', scope='module')
def fixture_folders(tmp_path_factory) -> dict[str, str]:
  root = tmp_path_factory.mktemp('systems')
  texts = (types.UNKNOWN_TEMPLATE, 'open the file', 'close the file', 'disk failure')
  for name, num in (('a', 50), ('b', 200)):
    rows = [[1, 2] * (1 + i % 4) + [3] * (i % 10 == 0) for i in range(num)]
    sessions = builders.sessions(rows, [int(i % 10 == 0) for i in range(num)])
    counts = np.bincount(sessions.events, minlength=4)
    store.save(types.System(name, texts, counts, sessions, {}), root / name)
  vectors = root / 'vectors.txt'
  vectors.write_text('open 1 0\nfile 0 1\nclose 1 1\ndisk -1 0\nfailure -1 -1\n')
  return {'a': str(root / 'a'), 'b': str(root / 'b'), 'vectors': str(vectors)}


def make(folders, **changes) -> problems.Problem:
  options = dict(
    source=(folders['a'],),
    target=folders['b'],
    target_normals='50%',
    target_anomalies='8',
    split='random',
    validation=0.25,
  )
  options = problems.Options(**options | changes)
  return problems.make_problem(
    options, gcse.Embedding(vectors=folders['vectors']), NEEDS
  )


def classes(data: types.Dataset) -> tuple[int, int]:
  labels = data.sessions.labels
  return int(np.sum(labels == 0)), int(np.sum(labels == 1))


@pytest.mark.parametrize('split', ['random', 'chronological', 'tail'])
def test_budgets_are_kept_and_parts_are_apart(folders, split):
  changes = {'target_anomalies': '5'} if split == 'tail' else {}
  changes |= {'target_normals': '60'} if split == 'tail' else {}
  problem = make(folders, split=split, **changes)
  normals, anomalies = classes(problem.labelled.target)
  assert (normals, anomalies) == ((60, 5) if split == 'tail' else (90, 8))
  labels = problem.labelled.target.sessions.labels
  trained = set(problem.labelled.target.sessions.ids[labels >= 0])
  assert not trained & set(problem.tests['rest'].sessions.ids)


def test_validation_is_held_out(folders):
  problem = make(folders)
  train, held = problem.train.target, problem.valid[-1]
  assert classes(train) == (68, 6) and classes(held) == (22, 2)
  shown = train.sessions.ids[train.sessions.labels >= 0]
  assert not set(shown) & set(held.sessions.ids)


def test_a_class_too_small_to_share_is_validated_on_itself(folders):
  problem = make(folders, target_anomalies='2')
  assert classes(problem.train.target)[1] == 2 == classes(problem.valid[-1])[1]


def test_the_idf_of_training_counts_no_test_template(folders):
  fitted, everything = (
    make(folders, fit=fit, target_anomalies='0') for fit in ('train', 'all')
  )
  assert not np.array_equal(
    fitted.labelled.target.vectors, everything.labelled.target.vectors
  )


def test_zero_shot(folders):
  problem = make(folders, target='', test=(folders['b'],))
  assert problem.train.target is None and list(problem.tests) == ['b']
  with pytest.raises(ValueError, match='--target'):
    make(folders, target='', test=('rest',))


@pytest.mark.parametrize('changes, says', [
  ({'split': 'chronological'}, '--unlabelled needs --split=random'),
  ({'split': 'tail'}, '--unlabelled needs --split=random'),
  ({'target': '', 'test': ()}, 'there is no --target'),
])  # fmt: skip
def test_unlabelled_sessions_are_those_of_a_random_split(changes, says):
  """In time order they would come from the time that is tested on."""
  options = {'target': 'b', 'split': 'random'} | changes
  with pytest.raises(errors.UserError, match=says):
    problems.Options(**options, unlabelled='10%')
  problems.Options(**options)
