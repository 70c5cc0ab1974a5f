"""Model folders: what they say, and how they are read and written."""
