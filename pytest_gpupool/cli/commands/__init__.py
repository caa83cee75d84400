"""Commands: what the program ``gpupool`` can be asked for, one module per call."""
