"""Writes the raw log of a SIMULATED system in the public format of a real one.

blockstore writes as HDFS does, supercomputer as Blue Gene/L, cloud as OpenStack
nova, cluster as Thunderbird; `metalog prepare` reads them as --system=hdfs, bgl,
openstack and thunderbird. The same flags give the same bytes.
"""

import time
from typing import Any

from metalog_jax import lazy
from metalog_jax.cli import main as programs
from metalog_jax.cli import options
from metalog_jax.cli.options import Flag

simulation = lazy.module('metalog_jax.simulation')

SYSTEMS = ('blockstore', 'supercomputer', 'cloud', 'cluster')
FLAGS = (
  Flag('system', 'blockstore', 'which system to simulate', SYSTEMS),
  Flag('sessions', 4000, 'how many sessions to write', low=1, high=options.MOST_COUNT),
  Flag('seed', 0, 'of all that is drawn', low=0, high=options.MOST_SEED),
  Flag('anomalies', 0.1, 'share of anomalous sessions', low=0, high=1),
  Flag(
    'variety',
    0.0,
    'above 0, each seed is another system: how far its rates differ',
    low=0,
    high=1,
  ),
  Flag('out', None, 'folder to write into', required=True),
)


def main(values: Any, rest: list[str]) -> None:
  """Writes the logs and says where they are."""
  begin = time.perf_counter()
  written = simulation.simulate(
    values.system,
    values.out,
    values.sessions,
    values.seed,
    values.anomalies,
    values.variety,
  )
  seconds = time.perf_counter() - begin
  programs.say(
    f'SIMULATED {values.system}, seed {values.seed}: not the log of a real system\n'
    f'{written.lines:,} lines of {written.sessions:,} sessions, '
    f'{written.anomalies:,} anomalous, in {seconds:.1f} s'
  )
  for path in filter(None, (written.log, written.labels, written.truth)):
    programs.say(path)
