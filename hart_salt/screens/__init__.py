"""
What a person sees at a terminal: tables made of the documents that the runner returns. Pure.

``draw.py`` chooses the screen by the function's name; ``hart_salt/output/hart.py`` is Salt's door to it.
"""
