"""Images between files, tensors and pictures to look at."""
