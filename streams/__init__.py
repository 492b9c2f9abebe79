"""Streams decide: what follows from a message, per device, as a fold; the shell around it is the only impure part."""
