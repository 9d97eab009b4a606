"""The whole way on one machine: embedded Postgres, simulator, receiver, worker."""
