"""What makes a process a container: root file system, mounts, identity, privileges, filter."""
