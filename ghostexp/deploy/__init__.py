"""From a trained network to what is shipped: look at a copy, never change it."""
