"""One other tool on one log, in a Python of its own: scores of sessions or of lines.

  PYTHON peers.py NAME LOG OUT [--key REGEX] [--baseline LOG]

NAME is one of PEERS. REGEX has one group, the id of a line's session; without it lines
are judged. OUT gets JSON: ids, scores, and which of them the tool alerts at its own
threshold. This file imports nothing of the project: peers have environments of theirs.
"""

import argparse
import collections
import json
import math
import pathlib
import re
import subprocess
import sys
import tempfile

SEED = 0
_RARE = 0.01  # share of the sessions (or lines) with a template that is rare


def read(path, key):
  """Messages [n] and the session of each [n]: None for none, the line without a key."""
  lines = pathlib.Path(path).read_text('utf-8', 'replace').splitlines()
  if not key:
    return lines, [str(i) for i in range(1, len(lines) + 1)]
  find = re.compile(key).search
  matches = [find(line) for line in lines]
  return lines, [match and match[1] for match in matches]


def drain3(log, key, baseline):
  """A session is as odd as its rarest template; one that the baseline lacks is new."""
  import drain3

  miner = drain3.TemplateMiner()

  def bags(path):
    sessions = collections.defaultdict(set)
    for line, name in zip(*read(path, key)):
      cluster = miner.add_log_message(line)['cluster_id']
      if name is not None:
        sessions[name].add(cluster)
    return sessions

  good = bags(baseline) if baseline else {}
  sessions = bags(log)
  usual = good or sessions
  held = collections.Counter(c for bag in usual.values() for c in bag)
  rarity = lambda c: -math.log(max(held[c], 0.5) / len(usual))
  scores = [max(map(rarity, bag)) for bag in sessions.values()]
  return {
    'rare or new': (list(sessions), scores, [s >= -math.log(_RARE) for s in scores])
  }


def loglead(log, key, baseline):
  """LogLead as it stands: mask, Drain, counts (of lines: words), two detectors."""
  import loglead
  import polars as pl
  from loglead import enhancers
  from sklearn.cluster import KMeans
  from sklearn.ensemble import IsolationForest

  frames = []
  for number, path in enumerate([baseline, log] if baseline else [log]):
    lines, names = read(path, key)
    frame = pl.DataFrame({'m_message': lines, 'seq_id': names}).drop_nulls()
    frames.append(frame.with_columns(part=pl.lit(number)))
  events = enhancers.EventLogEnhancer(pl.concat(frames))
  if key:
    events.mask()
    events.parse_drain()
    frame, column = events.df, 'e_event_drain_id'
    table = frame.group_by('part', 'seq_id', maintain_order=True).agg(pl.col(column))
  else:
    events.mask()
    table, column = events.words('e_message_normalized'), 'e_words'
  last = table['part'].max()
  detector = loglead.AnomalyDetector(column, print_scores=False, auc_roc=True)
  detector.test_df = table.filter(pl.col('part') == last)
  detector.train_df = (
    table.filter(pl.col('part') == 0) if baseline else detector.test_df
  )
  detector.prepare_train_test_data()
  result = {}
  for name, train in (
    (
      'isolation forest',
      lambda: detector.train_model(IsolationForest, random_state=SEED),
    ),
    ('k-means', detector.train_KMeans),
  ):
    if name == 'k-means' and not key:
      continue
    train()
    if isinstance(detector.model, KMeans):
      detector.train_model(KMeans, n_init='auto', n_clusters=2, random_state=SEED)
      far = detector._kmeans_distance(detector.X_train)
      detector.model.distance_threshold_ = float(sorted(far)[int(0.9 * len(far))])
    judged = detector.predict()
    result[name] = tuple(
      judged[column].to_list() for column in ('seq_id', 'pred_ano_proba', 'pred_ano')
    )
  return result


def loglens(log, key, baseline):
  """Families of its JSON, without its model: a session has the highest of its lines."""
  del baseline  # it has none to give
  program = pathlib.Path(sys.executable).parent / 'loglens'
  with tempfile.TemporaryDirectory() as home:
    done = subprocess.run(
      [str(program), 'analyze', '--source', log, '--format', 'json', '--no-learn',
       '--no-auto-scale', '--no-model', '--limit', '1000000'],
      stdout=subprocess.PIPE, check=True, env={'HOME': home, 'PATH': '/usr/bin:/bin'},
    )  # fmt: skip
  scores = {}
  _, names = read(log, key)
  for family in json.loads(done.stdout)['anomalies']:
    for line in family['line_numbers']:
      name = names[line - 1]
      scores[name] = max(scores.get(name, 0.0), float(family['score']))
  ids = [name for name in dict.fromkeys(names) if name is not None]
  values = [scores.get(name, 0.0) for name in ids]
  return {'without its model': (ids, values, [name in scores for name in ids])}


PEERS = {'drain3': drain3, 'loglead': loglead, 'loglens': loglens}


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument('name', choices=PEERS)
  parser.add_argument('log')
  parser.add_argument('out')
  parser.add_argument('--key', default='')
  parser.add_argument('--baseline', default='')
  values = parser.parse_args()
  result = PEERS[values.name](values.log, values.key, values.baseline)
  named = {
    name: {'ids': ids, 'scores': scores, 'odd': [bool(x) for x in odd]}
    for name, (ids, scores, odd) in result.items()
  }
  pathlib.Path(values.out).write_text(json.dumps(named))


if __name__ == '__main__':
  main()
