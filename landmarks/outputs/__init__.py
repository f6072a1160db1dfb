"""What predictions become: tables, submissions, files of labelling tools, clips, pictures."""
