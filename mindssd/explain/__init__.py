"""An evaluation explained: which objects are missed and why, as a page, figures and tables."""
