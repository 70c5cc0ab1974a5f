"""From a low-resolution image to the images behind it."""
