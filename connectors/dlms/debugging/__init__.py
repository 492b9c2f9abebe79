"""What is logged of a device in debug mode: every frame of its sessions, without what is or might be secret."""
