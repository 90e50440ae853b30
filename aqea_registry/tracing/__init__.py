"""The verb trace: the graph of what rests on what, from a printed number to bytes and commits, and up to releases and stores.

Open `trace` first: it draws the graph of a project, finds what a name means in it, walks both ways, hashes the files on the
way and marks what is broken. `graph` is the graph as a value, its trees and its diagram, and `GraphBuilder`, into which the
others write; it is pure. `nodes` draws pins, files, stages, results, claims, releases and statements. All but `graph`
read files.

>>> from aqea_registry.tracing.graph import Edge, Graph, Node
>>> nodes = [Node("claim:a", "claim", "a"), Node("metric:k", "metric", "k"), Node("file:f", "file", "f")]
>>> graph = Graph.of(nodes, [Edge("claim:a", "metric:k", "measured as"), Edge("file:f", "metric:k", "prints")])
>>> [node.id for node in graph.carried_by("metric:k").nodes]
['claim:a', 'metric:k', 'file:f']
"""
