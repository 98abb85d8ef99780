"""From sources to batches: documents → held-out and training text → token shards → batches.

Read in the order of the data: finding, archives, decoding, reading, sources; split; shards, corpus; batches.
Nothing is imported here, so that everything but `batches` works without torch.
"""
