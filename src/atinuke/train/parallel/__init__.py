"""Several processes for one training: the same command under torchrun.

ranks.py        who this process is, and what the processes tell each other
losing.py       who was lost when one ends too early, and how the others come to an end
handover.py     what the first process prepares, the others read
sharing.py      each takes its rows of the same batch; all keep to one clock and stop together
team.py         each computes the gradient of its rows, and all update alike
replicas.py     each holds the network (DDP)
shards.py       each holds a part of every matrix (FSDP2), and of every head (tensor parallelism)
checkpoints.py  all write one checkpoint while training goes on (DCP), in the form of a single process's

torch.distributed is imported where several processes are, so that one alone does not wait for it.
"""
