"""Periodic reading without an upstream: what is read of whom and when is a plan; this role asks for it, and again for
what is missing. What it produces are ordinary commands.

`plan` reads and checks a plan's file, `calendar` has its days and windows, `due` decides (all three pure), `plans`
keeps plans on their topic, `role` runs it.
"""
