"""What a study stores: its tables, the steps of a session, the vote log, the records."""
