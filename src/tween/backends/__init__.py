"""What runs a model: torch, OpenVINO, ..."""
