"""Makes docs/images/scan_terminal.svg and scan_report.png from a simulated log.

  python docs/scan_pictures.py [FOLDER]

A day of a small shop is simulated into FOLDER/shop.log (by default a temporary one)
and given to `metalog scan`. The terminal's output becomes SVG; the page of `--out` is
pictured by headless Chromium, at 1300 and, in FOLDER alone, at 400 pixels.
"""

import contextlib
import datetime
import html
import io
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

from metalog_jax.cli import main
from metalog_jax.scanning import output, scan

IMAGES = pathlib.Path(__file__).resolve().parent / 'images'
START = datetime.datetime(2026, 3, 2)
ANSI = re.compile('\x1b\\[([0-9;]*)m')
STYLES = {
  '1;31': 'fill="#ff6b68" font-weight="bold"',
  '31': 'fill="#ff6b68"',
  '33': 'fill="#e5b567"',
  '36': 'fill="#56c2d6"',
  '1': 'font-weight="bold"',
  '2': 'fill="#9aa4ae"',
}
COLUMNS, LINE = 118, 18  # characters; pixels


def simulate(path: pathlib.Path, seed: int = 3) -> None:
  """Writes a day of a shop's log with an outage, slow searches and a missed job."""
  rng, now, rows = random.Random(seed), START, []
  say = lambda time, level, text: rows.append((time, level, text))
  while now < START + datetime.timedelta(days=1):
    now += datetime.timedelta(seconds=rng.expovariate(1 / 9))
    hours = (now - START).total_seconds() / 3600
    number, slow = rng.randint(1000, 99999), 30 if 17 < hours < 17.4 else 1
    say(now, 'INFO', rng.choices([
      f'GET /search 200 in {rng.lognormvariate(3.5, 0.4) * slow:.0f} ms',
      f'order {number} paid by customer c{rng.randint(1, 400)}',
      f'cache hit ratio {rng.randint(80, 99)} % over {number} keys',
      f'mail to c{rng.randint(1, 400)} sent',
    ], [6, 3, 2, 2])[0])  # fmt: skip
    if 9.7 < hours < 9.8 and rng.random() < 0.7:
      host = f'db{rng.randint(1, 2)}:5432'
      say(now, 'ERROR', f'connect to {host} failed: connection refused')
      say(now, 'WARN', f'order {number} not paid, retry in {rng.randint(2, 30)} s')
  for hour in range(24):
    if hour != 13:
      at = START + datetime.timedelta(hours=hour, minutes=5, seconds=rng.uniform(0, 9))
      say(at, 'INFO', f'invoice run finished, {rng.randint(80, 400)} invoices')
  at = START + datetime.timedelta(hours=21.31)
  say(at, 'CRITICAL', 'cannot write /var/lib/shop/orders.db: No space left on device')
  lines = (
    f'{time:%Y-%m-%d %H:%M:%S} {level} {text}' for time, level, text in sorted(rows)
  )
  path.write_text('\n'.join(lines) + '\n')


def svg(text: str) -> str:
  """Text with ANSI colours as a picture of a terminal."""
  lines = text.split('\n')
  width, height = round(COLUMNS * 7.83) + 32, len(lines) * LINE + 32
  rows = []
  for number, line in enumerate(lines):
    parts, style = [], ''
    for i, piece in enumerate(ANSI.split(line)):
      if i % 2:
        style = STYLES.get(piece, '')
      elif piece:
        parts.append(f'<tspan {style}>{html.escape(piece)}</tspan>')
    rows.append(f'<text x="16" y="{16 + LINE * number + 14}">{"".join(parts)}</text>')
  return (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
    f'width="{width}" height="{height}">\n'
    '<style>text { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; '
    'fill: #e6e9ec; white-space: pre; }</style>\n'
    f'<rect width="{width}" height="{height}" rx="8" fill="#1d2329"/>\n'
    + '\n'.join(rows)
    + '\n</svg>\n'
  )


def photograph(page: pathlib.Path, picture: pathlib.Path, width: int, height: int):
  """A page as PNG, by Chromium."""
  with tempfile.TemporaryDirectory() as profile:
    command = (
      f'chromium --headless --no-sandbox --disable-gpu --hide-scrollbars '
      f'--user-data-dir={profile} --window-size={width},{height} --screenshot={picture}'
    )
    subprocess.run([*command.split(), page.as_uri()], check=True, capture_output=True)


def pictures(folder: pathlib.Path) -> None:
  """Simulates, scans, and makes the pictures."""
  log, out = folder / 'shop.log', folder / 'findings'
  simulate(log)
  with contextlib.chdir(folder):
    found = scan.scan(['shop.log'], scan.Options())
    with contextlib.redirect_stdout(io.StringIO()):
      main.main(['scan', 'shop.log', f'--out={out}'])
  text = output.terminal(found, 20, colour=True, width=COLUMNS)
  shown = f'$ metalog scan shop.log\n{text}'
  (IMAGES / 'scan_terminal.svg').write_text(svg(shown))
  photograph(out / 'report.html', folder / 'wide.png', 1300, 1150)
  photograph(out / 'report.html', folder / 'narrow.png', 400, 2400)
  shutil.copy(folder / 'wide.png', IMAGES / 'scan_report.png')
  for name in ('scan_terminal.svg', 'scan_report.png'):
    print(f'{name}: {(IMAGES / name).stat().st_size:,} bytes')


if __name__ == '__main__':
  if len(sys.argv) > 1:
    pathlib.Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    pictures(pathlib.Path(sys.argv[1]).resolve())
  else:
    with tempfile.TemporaryDirectory() as scratch:
      pictures(pathlib.Path(scratch))
