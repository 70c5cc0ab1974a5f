"""The tab of faces: what is drawn is shown in galleries, and steered."""
