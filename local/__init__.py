"""The whole platform on one machine: servers from wheels, our processes beside them."""
