"""A grocer's real year on its way through the system: what is asked for, and whether the views equal the file."""
