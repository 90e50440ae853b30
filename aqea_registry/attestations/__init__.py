"""Statements about releases and artefacts: how they were made, or that somebody made them again (a confirmation).

Start with `statement`: in-toto's layouts, reading, and comparison with the files and pins that a statement refers to; pure.
`made` writes, checks and attaches the statements of a project, and says which confirmations count as made again.

>>> from aqea_registry.attestations.statement import parse_statement
>>> parse_statement(b"{}", "small.intoto.json")[1][0].message
'not a statement: Object missing required field `_type`'
"""
