"""Several processes of one machine: started, watched by their heartbeats, ended together."""
