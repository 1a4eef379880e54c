"""Single times that are far from all others, in a scan of whole logs."""

import pytest

from metalog_jax.scanning import scan
from tests.scanning import logs


@pytest.mark.parametrize('year, row', [('1970', 0), ('1970', 300), ('2099', 1500)])
def test_a_time_of_another_century_does_not_widen_windows(tmp_path, year, row):
  log = logs.Log(18)
  log.outage(1200, 1230)
  path = log.write(tmp_path / 'x')
  before = scan.scan([str(path)], scan.Options())
  lines = path.read_text().splitlines(keepends=True)
  lines[row] = lines[row].replace('2026', year, 1)
  path.write_text(''.join(lines))
  found = scan.scan([str(path)], scan.Options())
  assert found.summary['window'] == before.summary['window']
  assert [x.finding_id for x in found] == [x.finding_id for x in before]
  assert any(text.startswith('1 time is far from') for text in found.warnings)
