"""The ingress: HTTP in, commands to the group committer, one answer out."""
