"""Small files of every kind, made by a script, with the pixels that are right."""
