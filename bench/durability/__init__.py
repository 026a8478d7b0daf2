"""What is left after kills, refusing disks and damaged files."""
