"""Whether an input is such as the model knows."""
