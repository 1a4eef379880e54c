"""Valid small inputs, what is done to them, and what must hold whatever was done."""
