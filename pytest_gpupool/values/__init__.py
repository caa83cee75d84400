"""Values: frozen data that every wing shares. Nothing here acts: no clock, no files, no pytest."""
