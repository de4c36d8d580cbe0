"""What the operating system of this host offers."""
