"""A run: from System folders to a run folder, and from there to verdicts."""
