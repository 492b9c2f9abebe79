"""Who may be called in a radio cell, and when: decide, evolve and react, all pure; `keeper` joins them for the shell.

Reference operations-managing 2.8. A base station carries so many sessions at once and takes so many new connections a
second. One cell, one key, one partition, one owner: so the count is one, whoever dies.

How the bound on new connections is kept. A grant on its way to the worker may be late by any time, so a worker that
connected when it arrived could connect with all that lay before it. A permit therefore says when: its connection is
opened at a time of its own, or `within` milliseconds after it, or not at all (the worker gives the job back, and the
device asks again). The times of a cell lie at least `(1000 + within + spread) / connects` ms apart, `spread` being how
far the clocks of workers and the ways to meters differ. The connections of any one second have their times within a
span of `1000 + within + spread` ms: no more than `connects` lie in it. The bound is paid for by throughput: with the
defaults two thirds of it are used.

A system that is busy for a while brings jobs to workers later than the lead allows, and all would lapse, again and
again: so a permit that lapsed makes the next ones of its cell be given further ahead, until they arrive in time.

How the bound on sessions is kept. A permit counts from its grant, before anybody connects, until the device gives it
back after the worker has hung up, or until `until`: after the job's deadline, past which no frame leaves, and grace.

There is no log: permits live for minutes, what was asked and what was granted lies on the two topics, and the table is
written in the same transaction.
"""
