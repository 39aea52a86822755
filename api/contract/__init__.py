"""What clients are promised: routes, what they take and answer, and the document of it all."""
