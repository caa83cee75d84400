"""Options: what the user typed, and what this process is to be. The only reader of pytest options."""
