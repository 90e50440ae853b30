"""Pair sets and vector sets: values, containers, exact scores, margin. Knows no project."""
