"""What a document prints: its prose, tables, numbers and model-index. Knows no claim, and every module is pure.

Start with `numbers`: `scan` finds the numbers that look like results, `parse_number` says what a print stands for. `prose`
blanks out what is not prose, `cues` knows the words beside a number and the cells with results. `tables` has the model of
tables, `markup_tables` reads those of Markdown, HTML and CSV, `latex_tables` others; `cells` reads the text of a cell,
`model_index` the head of a model card, and a result of MTEB; `metrics` has names of metrics.

>>> from aqea_registry.documents.numbers import scan
>>> [(number.text, number.why) for number in scan("In 2024 we measured 82.03 % and 1,379 pairs.", "text").numbers]
[('2024', None), ('82.03', 'a percentage'), ('1,379', 'a count')]
"""
