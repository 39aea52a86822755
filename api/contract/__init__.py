"""What clients are promised: bodies, answers, links and the document of it all."""
