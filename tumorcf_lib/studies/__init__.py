"""Studies too long for a notebook: known answers, cross-validation, the price of a leak."""
