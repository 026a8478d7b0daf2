"""Changing what serves a live collection, safely: plan, migrate, watch, look inside."""
