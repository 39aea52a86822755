"""What tests share: real servers, clients, fakes, and worlds to look at."""
