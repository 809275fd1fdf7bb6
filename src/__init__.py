"""Fairpath: weight-sharing neural architecture search, as a pipeline.

datasets       images in three parts: train, val (held out of train), test
search_spaces  which networks there are, and the supernet that holds them all
supernet       choice blocks, paths and routes, batch-norm statistics
samplers       which paths a step trains: a plan of updates for each mini-batch
step           the LightningModule that carries a plan out
assembly       a run put together from its configuration; training carries it through
evaluator      paths -> scores, with the supernet's weights
searchers      which networks to score next: ask and tell; searching carries a search through
retraining     one path trained alone: timm's recipes under automatic optimization, and the ranking of several
exporting      a path's network as files that need nothing of this project
benchmarks     what the networks reach when trained alone, to hold the scores against
analysis       rankings, fairness and figures, from tables alone
"""
