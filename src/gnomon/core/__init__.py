"""Values, errors and contracts. numpy and the standard library only; everything else stands on this room."""
