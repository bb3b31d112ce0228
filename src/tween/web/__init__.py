"""The web page: upload, see what will come, render, compare, download; and the camera, live."""
