"""What readers of formats share: texts, JSON, XML, names of files and of points."""
