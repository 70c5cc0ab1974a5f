"""Photographs of any size, in windows that are drawn as they are looked at."""
