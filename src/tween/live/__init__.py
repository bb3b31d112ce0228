"""What is seen and heard of a live run: the window, the page, the pipe, the sound."""
