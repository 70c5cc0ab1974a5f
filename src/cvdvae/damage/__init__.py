"""What happened to an image: written by a person, as plain data, estimated from the image."""
