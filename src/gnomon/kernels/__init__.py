"""Pure array functions: one formula, one function, with its source."""
