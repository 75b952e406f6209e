"""The format of TensorFlow's checkpoints, read and written without TensorFlow."""
