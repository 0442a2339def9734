"""Programs that show the numbers of many runs beside each other, each behind one interface."""
