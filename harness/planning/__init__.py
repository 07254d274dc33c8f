"""What a run is asked to do, checked: configuration, plan, resources, catalogue. Computes no
prediction."""
