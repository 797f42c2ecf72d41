"""What the tests are built of: a real PostgreSQL, the program under test, the lake's independent readers, an oracle."""
