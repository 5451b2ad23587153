"""How values are written, read and compared: units, numbers, dates, texts, and the closures that compare them.

It knows values, not answers: what an answer is and which of these it uses is decided in `answers.py`.
"""
