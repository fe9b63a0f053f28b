"""The cluster's network on a laptop, without root."""
