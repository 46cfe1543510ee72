"""One function a figure, from plain arrays and tables.

Each returns a Figure and takes ``tag``, a word such as "phantom" that is written small into it.
"""
