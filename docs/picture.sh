#!/bin/sh
# Makes docs/images/report.png, the picture of the README: the demo's report in Chromium.
#   sh docs/picture.sh runs/demo/report.html
set -eu
report=$(realpath "$1")
out=$(dirname "$0")/images/report.png
mkdir -p "$(dirname "$out")"
chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
  --user-data-dir="$(mktemp -d)" --window-size=1100,1000 --screenshot="$out" "file://$report"
