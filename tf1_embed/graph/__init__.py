"""What the library needs of TensorFlow: variables, sources of old rows, control flow, row ops."""
