"""The tab that restores damaged images."""
