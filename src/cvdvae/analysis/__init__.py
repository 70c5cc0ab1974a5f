"""What a prior and its LR encoders know and do not know: `pip install cvdvae[eval]`."""
