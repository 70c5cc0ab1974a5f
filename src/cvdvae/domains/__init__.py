"""What images a model knows: framing, wording, examples."""
