"""Predictions to reasons and pictures: what a BERT classifier looked at."""
