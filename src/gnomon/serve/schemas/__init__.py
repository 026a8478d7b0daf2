"""The bodies of requests and answers. Their descriptions are the API's documentation."""
