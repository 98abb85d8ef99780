"""SQuAD 1.1 and 2.0: a question, a paragraph of Wikipedia, and the words of it that answer.

Read in the order of the data: reading → windows → head → spans → scoring, submission; squad_task ties them together.
"""
