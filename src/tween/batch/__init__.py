"""Many films, or one long one, over many workers: processes of this machine, or of a Ray cluster."""
