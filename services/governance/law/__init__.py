"""What the law says of places, as dated data: the operator's named places, the EEA, adequacy decisions."""
