"""What surrounds exports on a server: its files, which versions it serves, how clients ask."""
