"""Command line: the program ``gpupool``: arguments in, text and an exit status out."""
