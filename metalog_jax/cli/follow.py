"""`metalog scan --follow`: findings while lines come."""

import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Any

from metalog_jax import clean
from metalog_jax.scanning import follow, output, redact, sinks

_EVERY = 1.0  # seconds between writings of metrics


def main(values: Any, paths: Sequence[str], options: Any) -> int:
  """Follows until Ctrl-C (exit code 130), SIGTERM (0) or the end of input (0).

  3 in place of 0 with --fail-on-findings, where there are some.
  """
  webhook = sinks.Webhook(values.webhook) if values.webhook else None
  width = max(60, min(shutil.get_terminal_size().columns, 160))
  active, written = 0, 0.0

  def tell(item: Any) -> None:
    nonlocal active
    active += item.state == 'active'
    if values.json:
      print(output.json_lines([item]), end='', flush=True)
    elif item.state == 'active':
      lines = output.finding(item, active, output.use_colour(), width)
      print('\n'.join(lines), flush=True)
    if webhook and item.state == 'active':
      webhook.put(item.as_dict())

  def note(text: str) -> None:
    text = redact.text(text) if options.redact else text
    print(f'note: {clean.printable(text)}', file=sys.stderr, flush=True)

  def metrics(follower: Any) -> None:
    sent = dict[str, float]()
    if webhook:
      sent['webhook_sent_total'] = webhook.sent
      sent['webhook_dropped_total'] = webhook.dropped
    found = follower.memory.found
    sinks.write_metrics(values.metrics, follower.metrics | sent, found)

  def beat(follower: Any) -> None:
    nonlocal written
    if values.metrics and time.monotonic() - written > _EVERY:
      written = time.monotonic()
      metrics(follower)

  follower = follow.follow(paths, options, tell, note, beat)
  if webhook:
    webhook.close()
    if webhook.dropped:
      note(f'{webhook.dropped} findings were not taken by --webhook')
  if values.metrics:
    metrics(follower)
  memory = follower.memory
  note(f'{memory.lines:,} lines, {memory.windows:,} windows, {active} findings')
  if follower.stopped == signal.SIGINT:
    return 130
  return 3 if values.fail_on_findings and active else 0
