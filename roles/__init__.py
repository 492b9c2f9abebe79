"""What every role needs and none owns: settings from the environment, logs, probes. Imports nothing of ours."""
