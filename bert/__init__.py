"""Text to predictions: BERT text classification on a TensorFlow Estimator."""
