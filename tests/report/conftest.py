"""A run folder that looks like those `experiments.train` writes, at any size."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metalog_jax.runs import folder

FLOORS = {
  'always': 0.131,
  'new_event': 0.884,
  'new_counts': 0.561,
  'known_anomalous_event': 0.902,
  'knn_counts': 0.917,
  'one_class_knn_counts': 0.733,
  'tree_counts': 0.958,
  'pca_counts': 0.642,
  'lr_vectors': 0.949,
}
TEMPLATES = (
  'serving node <*> opened channel <*> to partition <*>',
  'heartbeat of midplane <*> answered in <*> ms',
  'torus link <*> retrained after <*> corrected symbols',
  'uncorrectable memory error at row <*> bank <*>: node <*> isolated',
  'job <*> handed to scheduler queue <*> by user <*>',
  'power module <*> voltage <*> below limit, kernel panic on compute card <*> of rack'
  ' <*> while draining torus buffers towards I/O node <*> (attempt <*>)',
)


def measures(f1, auroc, auprc, sessions, anomalies):
  return {
    'sessions': sessions,
    'anomalies': anomalies,
    'threshold': 0.5,
    'precision': min(f1 + 0.012, 1.0),
    'recall': max(f1 - 0.011, 0.0),
    'f1': f1,
    'specificity': 0.5 + f1 / 2.01,
    'auroc': auroc,
    'auprc': auprc,
  }


def kinds(f1, sessions, anomalies):
  return {
    'all': measures(f1, 0.5 + f1 / 2.002, f1 + 0.007, sessions, anomalies),
    'distinct': measures(f1 - 0.02, f1 / 2 + 0.49, f1 - 0.01, 1207, 211),
    'unseen': measures(f1 - 0.035, f1 / 2 + 0.48, f1 - 0.02, 684, 170),
  }


def test_set(f1, sessions, anomalies):
  floors = {name: kinds(value, sessions, anomalies) for name, value in FLOORS.items()}
  floors['always']['all']['auroc'] = 0.5
  floors['new_event']['unseen']['auprc'] = None
  return {**kinds(f1, sessions, anomalies), 'threshold_from': 'fixed', 'floors': floors}


def result(seed, tests, **changes):
  return {
    'detector': 'metalog',
    'preset': 'default',
    'order': 'second',
    'seed': seed,
    'source': ['blockstore'],
    'target': 'supercomputer',
    'labels_seen': {
      'source': {'normal': 5612, 'anomalous': 488},
      'target': {'normal': 2310, 'anomalous': 6},
    },
    'test': tests,
    'steps': 600,
    'best_step': 420,
    'split': 'chronological',
    'simulated': ['blockstore', 'supercomputer'],
    'audit': {
      'train_sessions': 2316,
      'dropped_sessions': 14,
      'test_sessions': 5684,
      'train_last_time': 1136073600.0,
      'bad_lines': {'blockstore': {'lines': 3, 'no timestamp': 2, 'empty': 1}},
    },
    'coverage': {
      'blockstore': {'known': 61, 'words': 64, 'unknown': {'blkid': 4, 'xceiver': 2}},
      'supercomputer': {'known': 77, 'words': 77, 'unknown': {}},
    },
    'fit': {'idf': 'train', 'templates': {'blockstore': 'all'}},
    'seconds': {'prepare': 3.21, 'compile': 11.9, 'train': 64.2, 'test': 1.7},
    'test_ms_per_session': 0.31,
    **changes,
  }


CONFIG = {
  'detector': 'metalog',
  'preset': 'default',
  'method': {
    'hidden': 100,
    'order': 'second',
    'meta': {'inner_lr': 0.05, 'inner_steps': 5, 'query_weight': 1.0},
    'embedding': {'vectors': 'glove', 'aggregation': 'paper'},
  },
  'data': {
    'source': ['systems/blockstore'],
    'target': 'systems/supercomputer',
    'test': ['rest'],
    'target_normals': '30%',
    'target_anomalies': '1%',
  },
  'loop': {'steps': 600, 'patience': 100},
  'alert_rate': 0.0,
}


def scores(rng, tests):
  """Scores that mostly tell the labels, a few unlabelled, a few wrong."""
  columns = {'system': [], 'session_id': [], 'label': [], 'score': []}
  for name, of in tests.items():
    total, bad = of['all']['sessions'], of['all']['anomalies']
    labels = np.r_[np.ones(bad), np.zeros(total - bad)].astype(int)
    values = np.where(labels == 1, rng.beta(7, 1.2, total), rng.beta(0.6, 9, total))
    labels = labels.tolist()
    labels[-3:] = [-1, -1, None]
    columns['system'] += [name] * total
    columns['session_id'] += [f'{name}-{i}' for i in range(total)]
    columns['label'] += labels
    columns['score'] += values.tolist()
  return pa.table(columns)


def history(rng, steps=600):
  rows = []
  for step in range(1, steps + 1):
    decay = np.exp(-step / 140)
    row = {
      'step': step,
      'loss': 1.4 * decay + 0.03 + 0.05 * rng.random(),
      'support_loss': 0.7 * decay + 0.02 + 0.05 * rng.random(),
      'query_loss': 0.7 * decay + 0.01 + 0.03 * rng.random(),
      'grad_norm': 3 * decay + 0.4 * rng.random(),
      'seconds': 0.1 * step,
    }
    if step % 20 == 0:
      row |= {'valid_f1': 0.97 - 0.9 * decay, 'valid_auprc': 0.99 - 0.7 * decay}
    rows.append(row)
  return rows


def session(rng, name, label, score, why, length):
  """A session with runs of equal events and one event that weighs most."""
  ids = np.repeat(rng.integers(0, 5, length), rng.integers(1, 4, length))[:length]
  ids[length * 2 // 3] = 5
  weights = rng.random(len(ids)) * np.where(ids == 5, 30, np.where(ids == 3, 8, 1))
  weights /= weights.sum()
  return {
    'session_id': name,
    'label': label,
    'score': score,
    'why': why,
    'first_line': 1204,
    'last_line': 1204 + 7 * length,
    'events': [
      {
        'event': int(e),
        'template': TEMPLATES[e],
        'weight': float(w),
        'line': 1204 + 7 * i if i % 2 == 0 else None,
      }
      for i, (e, w) in enumerate(zip(ids, weights))
    ],
  }


def explained(rng):
  top = [
    session(
      rng, f'R{i:02d}-M1-N4-{i}', int(i != 7), 0.999 - i / 1000, 'most anomalous', n
    )
    for i, n in enumerate((120, 23, 9, 48, 12, 1200, 6, 15, 31, 77))
  ]
  worst = [
    session(rng, f'R{i:02d}-M0-N2-{i}', int(why == 'missed'), 0.1 + i / 10, why, 14 + i)
    for i, why in enumerate(('missed', 'false alarm', 'missed', 'false alarm'))
  ]
  return top + worst


def change(path, **changes):
  """Edits result.json as if the run had written it so."""
  of = json.loads((path / 'result.json').read_text())
  folder.seal(path, {**of, **changes})


def edit(path, name, content):
  """Rewrites a file of a run as if the run had written it so."""
  (path / name).write_text(content)
  change(path)


@pytest.fixture(name='make_run')
def fixture_make_run(tmp_path):
  """make_run(name, seed=.., f1=.., ...) writes a run folder and returns its path."""

  def make(name='run', *, seed=0, f1=0.954, tests=('rest',), config=None, **changes):
    rng = np.random.default_rng(seed)
    path = tmp_path / name
    path.mkdir()
    sets = {test: test_set(f1, 5684, 398) for test in tests}
    settings = {**CONFIG, **(config or {})}
    settings = {**settings, 'data': {**settings['data'], 'seed': seed}}
    environment = {
      'python': '3.11.7',
      'versions': {'jax': '0.10.2', 'numpy': '2.4.6'},
      'devices': ['TFRT_CPU_0'],
      'commit': '0123abc',
    }
    files = {
      'config.json': settings,
      'environment.json': environment,
      'explained.json': {test: explained(rng) for test in tests},
    }
    for file, content in files.items():
      (path / file).write_text(json.dumps(content))
    lines = (json.dumps(row) + '\n' for row in history(rng))
    (path / 'metrics.jsonl').write_text(''.join(lines))
    pq.write_table(scores(rng, sets), path / 'scores.parquet')
    folder.seal(path, result(seed, sets, **changes))
    return path

  return make
