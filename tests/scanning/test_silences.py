"""Messages, and logs, that fall silent more than once."""

import re

import pytest

from metalog_jax.scanning import scan
from tests.scanning import logs


@pytest.mark.parametrize('form,name', [
  ('app', 'heartbeat ok'), ('plain', 'beat: heartbeat ok'), ('app', '(all records)'),
])  # fmt: skip
def test_each_silence_is_told(tmp_path, form, name):
  log, gaps = logs.Log(2, 3000), ((900, 1150), (1900, 2300))
  in_gap = lambda i: any(first <= i < last for first, last in gaps)
  rows = [i for i, x in enumerate(log.records) if x[3] in name or name[0] == '(']
  gone = {i for i in rows if in_gap(i)}
  ends = [
    (max(i for i in rows if i < a), min(i for i in rows if i >= b)) for a, b in gaps
  ]
  places = {i: f'{log.records[i][0].isoformat()[:22]}' for i in {*sum(ends, ())}}
  log.records = [x for i, x in enumerate(log.records) if i not in gone]
  if form == 'plain':
    places = dict.fromkeys(places, 'line [0-9,]+')  # of windows that are cut elsewhere
  [item] = scan.scan([str(log.write(tmp_path / 'x', form))], scan.Options())
  assert (item.template, item.kind) == (name, 'drop')
  said = item.why.partition('; in 2 places: ')[2]
  assert re.match(', '.join(f'{places[a]}.* to {places[b]}.*' for a, b in ends), said)
