"""One reader a file. Each yields Documents whose id is the place in the file, "" for the only one."""
