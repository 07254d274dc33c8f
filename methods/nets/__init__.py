"""Networks that several methods share: they map tensors to logits and use no session."""
