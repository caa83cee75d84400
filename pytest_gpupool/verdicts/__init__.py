"""Verdicts: from metrics and a baseline to decisions. The only wing that speaks of chance."""
