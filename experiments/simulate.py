"""Writes the raw log of a SIMULATED system in the public format of a real one.

blockstore writes as HDFS does, supercomputer as Blue Gene/L, cloud as OpenStack
nova, cluster as Thunderbird; `prepare` reads them as --system=hdfs, bgl,
openstack and thunderbird. The same flags give the same bytes.
"""

import sys
import time

from absl import app, flags

from metalog_jax.logs import simulate

_SYSTEM = flags.DEFINE_enum(
  'system', 'blockstore', list(simulate.SYSTEMS), 'Which system to simulate.'
)
_SESSIONS = flags.DEFINE_integer(
  'sessions', 4000, 'How many sessions to write.', lower_bound=1
)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of all that is drawn.', lower_bound=0)
_ANOMALIES = flags.DEFINE_float(
  'anomalies', 0.08, 'Share of anomalous sessions.', lower_bound=0, upper_bound=1
)
_OUT = flags.DEFINE_string('out', None, 'Folder to write into.', required=True)


def main(argv: list[str]) -> None:
  if len(argv) > 1:
    raise app.UsageError(f'unexpected argument {argv[1]}')
  begin = time.perf_counter()
  try:
    written = simulate.write(
      _SYSTEM.value, _SESSIONS.value, _SEED.value, _OUT.value, _ANOMALIES.value
    )
  except (ValueError, OSError) as error:
    sys.exit(f'simulate: {error}')
  seconds = time.perf_counter() - begin
  print(f'SIMULATED {_SYSTEM.value}, seed {_SEED.value}: not the log of a real system')
  print(f'{written.lines} lines of {written.sessions} sessions, ', end='')
  print(f'{written.anomalies} anomalous, in {seconds:.1f} s')
  for path in (written.log, written.labels, written.truth):
    if path:
      print(path)


if __name__ == '__main__':
  app.run(main)
