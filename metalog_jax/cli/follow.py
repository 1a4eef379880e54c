"""`metalog scan --follow`: findings while lines come."""

import shutil
import signal
import sys
from collections.abc import Sequence
from typing import Any

from metalog_jax import clean
from metalog_jax.scanning import follow, output, redact, sinks


def main(values: Any, paths: Sequence[str], options: Any) -> int:
  """Follows until Ctrl-C (exit code 130), SIGTERM (0) or the end of input (0).

  3 in place of 0 with --fail-on-findings, where there are some.
  """
  webhook = sinks.Webhook(values.webhook) if values.webhook else None
  width = max(60, min(shutil.get_terminal_size().columns, 160))
  active = 0

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

  metrics = sinks.Metrics(values.metrics, values.metrics_port, values.metrics_host)
  if metrics.url:
    note(f'metrics: {metrics.url}')

  def beat(follower: Any, last: bool = False) -> None:
    sent = dict[str, float]()
    if webhook:
      sent['webhook_sent_total'] = webhook.sent
      sent['webhook_dropped_total'] = webhook.dropped
    metrics.show(follower.metrics | sent, follower.memory.found, last)

  follower = follow.follow(paths, options, tell, note, beat)
  if webhook:
    webhook.close()
    if webhook.dropped:
      note(f'--webhook did not take {clean.counted(webhook.dropped, "finding")}')
  beat(follower, last=True)
  memory = follower.memory
  counts = {'line': memory.lines, 'window': memory.windows, 'finding': active}
  note(', '.join(clean.counted(number, noun) for noun, number in counts.items()))
  if follower.stopped == signal.SIGINT:
    return 130
  return 3 if values.fail_on_findings and active else 0
