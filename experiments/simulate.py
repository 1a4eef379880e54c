"""Writes the raw log of a SIMULATED system in the public format of a real one.

blockstore writes as HDFS does, supercomputer as Blue Gene/L, cloud as OpenStack
nova, cluster as Thunderbird; `prepare` reads them as --system=hdfs, bgl,
openstack and thunderbird. The same flags give the same bytes.
"""

import time

from absl import flags

from experiments import main as program
from metalog_jax import simulation

FLAGS = flags.FLAGS
flags.DEFINE_enum(
  'system', 'blockstore', list(simulation.SYSTEMS), 'which system to simulate'
)
flags.DEFINE_integer('sessions', 4000, 'how many sessions to write', 1)
flags.DEFINE_integer('seed', 0, 'of all that is drawn', 0)
flags.DEFINE_float('anomalies', 0.1, 'share of anomalous sessions', 0, 1)
flags.DEFINE_string('out', None, 'folder to write into', required=True)


def main() -> None:
  begin = time.perf_counter()
  written = simulation.simulate(
    FLAGS.system, FLAGS.out, FLAGS.sessions, FLAGS.seed, FLAGS.anomalies
  )
  seconds = time.perf_counter() - begin
  print(f'SIMULATED {FLAGS.system}, seed {FLAGS.seed}: not the log of a real system')
  print(
    f'{written.lines:,} lines of {written.sessions:,} sessions, '
    f'{written.anomalies:,} anomalous, in {seconds:.1f} s'
  )
  for path in filter(None, (written.log, written.labels, written.truth)):
    print(path)


if __name__ == '__main__':
  program.run(main)
