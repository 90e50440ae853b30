"""The workshop: model and sentences in, canonical vectors out. The only room that imports torch."""
