"""Run folders to report.html, report.md and results.csv."""
