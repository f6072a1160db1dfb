"""What several commands do first with their settings: objects, reader, layout, folder."""
