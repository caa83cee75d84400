"""Live: the table, or the lines in a log, that show a run while it goes on."""
