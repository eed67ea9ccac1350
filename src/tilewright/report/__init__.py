"""What a run came to: run.json for programs, a page for people."""
