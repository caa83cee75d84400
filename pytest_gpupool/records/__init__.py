"""Records: what a run did, appended once, folded into results, readable after any kill. Nothing is judged here."""
