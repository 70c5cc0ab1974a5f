"""Tables, curves and calibration over a folder of images: `pip install cvdvae[eval]`."""
