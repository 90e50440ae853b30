"""What a document prints: prose, tables, numbers, model-index. Pure; knows no claim."""
