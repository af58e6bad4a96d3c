"""What people see of a study; reads events only."""
