"""`python -m connectors.faces.cli`: how the supervisor starts roles and tasks, whatever is on the PATH."""

from connectors.faces.cli import main

main()
