"""How good and how fast a model is: protocols, scores, reports."""
