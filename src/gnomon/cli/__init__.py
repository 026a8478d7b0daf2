"""The command line: every command calls one public function and shows what came of it."""
