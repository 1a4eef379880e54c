r"""Raw logs, or session files, to a System folder.

  python -m experiments.prepare --system=hdfs --logs=HDFS.log \
    --labels=anomaly_label.csv --out=systems/hdfs
  python -m experiments.prepare --system=bgl --logs=BGL.log.gz --out=systems/bgl
  python -m experiments.prepare --system=custom --logs='app/*.log' --out=systems/app \
    --format='^(?P<time>\S+) (?P<session>\w+) (?P<content>.*)$'
  python -m experiments.prepare --system=jsonl --sessions=sessions.jsonl \
    --templates=templates.csv --out=systems/mine

Again with the same inputs and flags, it does nothing (--force does it again).
"""

import os

from absl import flags

from experiments import main as program
from experiments import progress
from metalog_jax.logs import formats, systems

FLAGS = flags.FLAGS
flags.DEFINE_enum('system', None, formats.SYSTEMS, 'format of the logs', required=True)
flags.DEFINE_list(
  'logs',
  [],
  'raw logs in order: files, patterns, folders, or - for standard input; .gz .zst .xz '
  '.bz2 and loghub *_structured.csv are read as such',
)
flags.DEFINE_string('labels', '', 'file of labels: lines id,label, or the Hadoop list')
flags.DEFINE_list('sessions', [], 'session files of --system=jsonl')
flags.DEFINE_string('templates', '', 'CSV event_id,template of --system=jsonl')
flags.DEFINE_string(
  'format',
  '',
  'of --system=custom: regex of a line with the named groups content (needed), '
  'session, node, time, date, label',
)
flags.DEFINE_string(
  'time_format',
  '',
  "of --system=custom: the time's, as strptime's; '': epoch numbers or ISO 8601",
)
flags.DEFINE_string(
  'group',
  '',
  'what lines are grouped by; openstack: instance, request; hadoop: application, '
  'container; custom: session, node; none: the whole log is one',
)
flags.DEFINE_string(
  'window',
  '',
  'cut every group into windows of so many lines (120) or so long (90s, 10m, 6h); '
  '0: do not; default: 120 for bgl, thunderbird and spirit',
)
flags.DEFINE_integer('max_events', 0, 'events kept of a session; 0: all', 0)
flags.DEFINE_string('out', None, 'the System folder to write', required=True)
flags.DEFINE_enum(
  'mining',
  'canonical',
  systems.MINING,
  "canonical: the same templates whatever the lines' order; arrival: online Drain",
)
flags.DEFINE_enum(
  'parser',
  'default',
  systems.PARSERS,
  "masks and Drain settings: what groups best, or the paper's",
)
flags.DEFINE_string(
  'fit',
  'all',
  'lines, from the first on, that templates are fitted on: all, a share (30%) or a '
  'count; no window spans that cut',
)
flags.DEFINE_string('max_bad_lines', '5%', 'more bad lines than this are an error')
flags.DEFINE_integer(
  'workers', 0, 'processes; 0: one a core. Any number gives the same folder', 0
)
flags.DEFINE_bool('keep_lines', False, 'keep the line number of every event')
flags.DEFINE_bool('force', False, 'prepare again even if nothing has changed')


def main() -> None:
  """Prepares, unless the folder is up to date, and says what came out."""
  options = systems.Options(
    system=FLAGS.system,
    logs=tuple(FLAGS.logs),
    labels=FLAGS.labels,
    sessions=tuple(FLAGS.sessions),
    templates=FLAGS.templates,
    format=FLAGS.format,
    time_format=FLAGS.time_format,
    group=FLAGS.group,
    window=FLAGS.window,
    max_events=FLAGS.max_events,
    mining=FLAGS.mining,
    parser=FLAGS.parser,
    fit=FLAGS.fit,
    max_bad_lines=FLAGS.max_bad_lines,
    keep_lines=FLAGS.keep_lines,
  )
  manifest = None if FLAGS.force else systems.up_to_date(options, FLAGS.out, print)
  if manifest:
    print(f'{FLAGS.out} is up to date')
  else:
    with progress.Bytes(options.logs or options.sessions) as read:
      workers = FLAGS.workers or os.cpu_count()
      manifest = systems.prepare(options, FLAGS.out, None, workers, read)
  print(summary(manifest))


def summary(manifest: dict) -> str:
  """What was prepared, for people."""
  m = manifest
  lines = [
    f'{m["system"]}{" (SIMULATED)" * m["simulated"]}: {m["lines"]:,} lines, '
    f'{m["bad_lines"]:,} bad; '
    f'{m["templates"] - 1:,} templates ({m["mining"]}, {m["template_hash"][:12]})',
    f'{m["sessions"]:,} sessions, {m["anomalies"]:,} anomalous, {m["unlabelled"]:,} '
    f'without a label; {m["events"]:,} events, {m["distinct_sequences"]:,} distinct '
    'sequences',
    f'{m["seconds"]["prepare"]:.1f} s, {m["lines_per_second"]:,} lines a second',
  ]
  for reason, kept in m.get('bad', {}).items():
    at = kept['first'][0]
    lines.append(f'bad: {kept["count"]:,} {reason}, first {at["file"]}:{at["line"]}')
  if m.get('bad_times'):
    share = m['bad_times'] / m['lines']
    lines.append(f'times that could not be read: {m["bad_times"]:,} ({share:.1%})')
  for name in ('lines_without_session', 'escaped_lines'):
    if m.get(name):
      lines.append(f'{name.replace("_", " ")}: {m[name]:,}')
  for name in ('duplicates', 'unknown_ids', 'sessions_without_label'):
    if m.get('labels', {}).get(name):
      lines.append(f'labels: {m["labels"][name]:,} {name.replace("_", " ")}')
  return '\n'.join(lines)


if __name__ == '__main__':
  program.run(main)
