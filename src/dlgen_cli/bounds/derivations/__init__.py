"""How each bound is worked out from its recorded terms, line by line; a file for each family."""
