"""Fairpath: weight-sharing neural architecture search. The files beside this one are the commands, the rooms subjects.

runtime        start, refuse and stop a command; run folders: lock, resume, checkpoints; devices; result.json
datasets       images in three parts (train, val held out of train, test), augmentation, mini-batches
supernet       choice blocks, paths, cells, batch norm, inter-choice weights; the evaluator scores paths
search_spaces  which networks there are, their names and their costs
samplers       which paths a step trains: a plan of updates for each mini-batch
analysis       statistics on tables, pure functions; report draws and writes
benchmarks     what networks reach when trained alone
training       the supernet step, optimizers, several devices, counts and meters, the run around it
ranking        paths scored and ranked, compared with a benchmark
searchers      which networks to score next: algorithms, objectives, limits
searching      one search: archive, front, latency table, result
standalone     one path's network: retraining trains it, exporting writes it
benches        speed beside the plain way

A room imports only from those above it in this list.
"""
