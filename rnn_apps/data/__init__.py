"""From files and data sets to raw examples."""
