"""Live: what people see while a run goes on."""
