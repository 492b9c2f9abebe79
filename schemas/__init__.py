"""What moves: topics, records and the bytes they travel as. Knows nothing of meters, streams or sockets."""
