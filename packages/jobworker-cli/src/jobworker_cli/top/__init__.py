"""The screen of ``top``: what it shows of jobs (``rows.py``), and the program around it (``app.py``)."""
