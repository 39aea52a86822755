"""What one commit does: the group committer and all that it locks and records."""
