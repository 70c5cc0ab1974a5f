"""What this site needs beyond Sphinx: mathematics without scripts, and links into the code."""
