"""What becomes of commands, per device: decide, evolve, react and dispatch, all pure; `keeper` joins them for the
shell.
"""
