"""Findings in logs without labels, formats or training; no jax.

From bottom to top:
  redact, feedback   what is masked in outputs; what people said of findings
  windows            records, block by block, to counts of templates per window
  statistics         how surprising a count is beside the template's other windows
  sessions           records with an id in common to bags, their scores and reasons
  findings           surprises to causes: merged, ranked, with samples and a sentence
  baseline           counts of a good run in a folder, and added to
  scan               the road from files to findings
  output             the terminal's table, JSON lines, report.html
"""
