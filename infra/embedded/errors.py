"""Everything that can go wrong when the stack starts, as one tree; every message says what to do about it.

StackError
├── PortTaken         somebody else listens there: choose another port, or 0 for a free one
├── DataFolderInUse   another stack holds the lock of this folder
├── DataFolderUnusable  not writable, not a folder, or no space left
├── JarRefused        a jar could not be fetched, or its checksum is not the one in the repository
└── RoleFailed        a process died, or was not ready in time; the message quotes the end of its log
"""


class StackError(RuntimeError):
    """The stack cannot do what was asked; the text is meant for the person at the terminal."""


class PortTaken(StackError):
    """A configured port is not free."""


class DataFolderInUse(StackError):
    """The lock file of the data folder is held by a living process."""


class DataFolderUnusable(StackError):
    """The data folder cannot be written to, or the disk is (nearly) full."""


class JarRefused(StackError):
    """A Java archive is missing or is not the one that was reviewed."""


class RoleFailed(StackError):
    """A process of the stack ended, or did not become ready in time."""
