// The camera, live.
