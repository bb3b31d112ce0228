"""How far a picture is from the truth. Every variant prints its own name."""
