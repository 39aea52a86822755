"""What each alert names, broken, and what a scrape of the platform then says."""
