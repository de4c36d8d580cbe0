"""Completion in shells: what may stand at the cursor (``words.py``, ``values.py``), and the scripts that ask for it."""
