"""Reports: one dictionary in, one document out."""
