"""A fleet: blocks of launches on the nodes of a Ray cluster, one block at a time on each node.

Takes blocks (`running.blocks`) and gives the folders that their launches wrote; who keeps them is told on which node a
block ran, and of blocks that were lost with their node. May import `running` and what is below it; Ray only when a
cluster is asked for.
"""
