"""The addresses of the API, a file for each noun. A route calls one public function and shapes its result."""
