"""Files, folders, cameras and pipes: where frames come from and go to."""
